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
  capabilities: z.array(z.string().min(1).max(64)).max(64).default([]).meta({
    description: 'What this agent can do: the commands it knows, e.g. `list_directory`, and `resume`.',
  }),
  limits: z
    .object({
      max_uploads: z
        .int()
        .min(1)
        .max(64)
        .meta({ description: 'Uploads it runs at once. The server keeps further ones `queued`.' }),
      parallel_parts: z.int().min(1).max(64).meta({ description: 'PUTs it runs at once, over all uploads.' }),
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
