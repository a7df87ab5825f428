import { z } from 'zod';
import { attemptSchema, filePathSchema, uploadIdSchema } from '../identifiers.ts';

export const labelsSchema = z
  .record(
    z
      .string()
      .min(1)
      .max(64)
      .regex(/^[A-Za-z0-9._/-]+$/),
    z.string().max(256),
  )
  .refine((labels) => Object.keys(labels).length <= 32, 'an agent has at most 32 labels')
  .meta({
    description:
      'Labels set on the agent’s machine, for filtering. At most 32; names of 1 to 64 letters, digits, `.`, `_`, `/`, `-`; values of at most 256 characters.',
    example: { site: 'berlin' },
  });

const hostHashSchema = z.string().regex(/^[0-9a-f]{32}$/);

/** The agent's first message on a new connection. Its identity comes only from its token. */
export const helloSchema = z.object({
  status: z.literal('hello'),
  agent_version: z.string().min(1).max(64).meta({ description: 'Version of the agent.' }),
  platform: z
    .object({
      os: z
        .string()
        .min(1)
        .max(32)
        .meta({ description: 'Value of `process.platform`: `linux`, `darwin`, `win32`.' }),
      arch: z.string().min(1).max(32).meta({ description: 'Value of `process.arch`: `x64`, `arm64`.' }),
      hostname: z.string().max(255).optional().meta({ description: 'Informative only.' }),
    })
    .meta({ description: 'The machine, as reported by the agent.' }),
  host: z
    .object({
      machine: hostHashSchema.meta({
        description: 'Hash of the machine id: constant until the system is reinstalled, and equal in clones.',
      }),
      boot: hostHashSchema.meta({
        description: 'Hash of the boot id: changes at each start of the machine.',
      }),
    })
    .optional()
    .meta({
      description:
        'Distinguishes machines that share one token. The hashes are specific to Backhaul; absent if the system has no such ids.',
    }),
  capabilities: z.array(z.string().min(1).max(64)).max(64).default([]).meta({
    description:
      'Capabilities and supported commands of this agent, e.g. `list_directory`, `resume` and `empty_object`.',
  }),
  limits: z
    .object({
      max_uploads: z
        .int()
        .min(1)
        .max(64)
        .meta({ description: 'Maximum simultaneous uploads. The server keeps further uploads `queued`.' }),
      parallel_parts: z.int().min(1).max(64).meta({
        description:
          'Maximum simultaneous PUTs over all uploads (`--parallel-parts`, 8 by default); the actual number adapts to the connection.',
      }),
    })
    .meta({ description: 'Limits of simultaneous work.' }),
  labels: labelsSchema.default({}),
  default_file_path: filePathSchema
    .nullable()
    .default(null)
    .meta({ description: "The agent's `--file`: the file of triggers without `file_path`." }),
  running: z
    .array(z.object({ upload_id: uploadIdSchema, attempt: attemptSchema }))
    .max(64)
    .default([])
    .meta({ description: 'Uploads that survived the loss of the previous connection.' }),
});
export type Hello = z.infer<typeof helloSchema>;
