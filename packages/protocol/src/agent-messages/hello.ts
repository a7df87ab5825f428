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
      'Set by the agent’s owner, to find it by. At most 32; names of 1 to 64 letters, digits, `.`, `_`, `/`, `-`; values of at most 256 characters.',
    example: { site: 'berlin' },
  });

const hostHashSchema = z.string().regex(/^[0-9a-f]{32}$/);

/** The agent's first message on a new socket. Who it is comes from its token, never from here. */
export const helloSchema = z.object({
  status: z.literal('hello'),
  agent_version: z.string().min(1).max(64).meta({ description: "The agent program's version." }),
  platform: z
    .object({
      os: z
        .string()
        .min(1)
        .max(32)
        .meta({ description: 'As `process.platform` spells it: `linux`, `darwin`, `win32`.' }),
      arch: z.string().min(1).max(32).meta({ description: 'As `process.arch` spells it: `x64`, `arm64`.' }),
      hostname: z.string().max(255).optional().meta({ description: 'For people only.' }),
    })
    .meta({ description: 'The machine, as the agent sees it.' }),
  host: z
    .object({
      machine: hostHashSchema.meta({
        description:
          'Hash of the machine’s id: the same for as long as its system is installed, and in its clones.',
      }),
      boot: hostHashSchema.meta({
        description: 'Hash of the boot’s id: another one after each start of the machine.',
      }),
    })
    .optional()
    .meta({
      description:
        'Tells machines apart that share one token. Hashes for Backhaul alone; left out where there are no ids.',
    }),
  capabilities: z.array(z.string().min(1).max(64)).max(64).default([]).meta({
    description:
      'What this agent can do: the commands it knows, e.g. `list_directory`, `resume` and `empty_object`.',
  }),
  limits: z
    .object({
      max_uploads: z
        .int()
        .min(1)
        .max(64)
        .meta({ description: 'Uploads it runs at once. The server keeps further ones `queued`.' }),
      parallel_parts: z.int().min(1).max(64).meta({
        description:
          'At most so many PUTs at once, over all uploads (`--parallel-parts`, 8 by default); how many there are follows the line.',
      }),
    })
    .meta({ description: 'What the agent takes on at once.' }),
  labels: labelsSchema.default({}),
  default_file_path: filePathSchema
    .nullable()
    .default(null)
    .meta({ description: "The agent's `--file`: what a trigger without `file_path` asks for." }),
  running: z
    .array(z.object({ upload_id: uploadIdSchema, attempt: attemptSchema }))
    .max(64)
    .default([])
    .meta({ description: 'Uploads that survived the loss of the last socket.' }),
});
export type Hello = z.infer<typeof helloSchema>;
