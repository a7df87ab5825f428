import { z } from 'zod';
import {
  attemptOrFirstSchema,
  attemptSchema,
  commandIdSchema,
  fileNameSchema,
  errorFields,
  filePathSchema,
  partChecksumsSchema,
  partNumberSchema,
  renewalIdSchema,
  sha256HexSchema,
  sizeBytesSchema,
  timestampSchema,
  uploadIdSchema,
} from './fields.ts';
import { fingerprintSchema } from './file-version.ts';

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
const helloSchema = z.object({
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

/** A part that has been read and hashed, and needs a presigned URL. */
const partAnnouncementSchema = z.object({
  part_number: partNumberSchema,
  size: sizeBytesSchema,
  ...partChecksumsSchema.shape,
});
export type PartAnnouncement = z.infer<typeof partAnnouncementSchema>;

/** A stored part. The ETag is opaque: it is not always an MD5. */
const uploadedPartSchema = z.object({
  part_number: partNumberSchema,
  etag: z.string().min(1).max(256).meta({ description: 'ETag as sent by S3, including quotes.' }),
});
export type UploadedPart = z.infer<typeof uploadedPartSchema>;

/** The file is open and its size is known. `chunk_size` and `part_count` must follow the plan rule. */
const preparedSchema = z.object({
  status: z.literal('prepared'),
  upload_id: uploadIdSchema,
  attempt: attemptSchema,
  file_name: fileNameSchema,
  size: sizeBytesSchema,
  chunk_size: z.int().min(1).meta({ description: 'Bytes of each part except the last, by the plan rule.' }),
  part_count: z.int().min(1).max(10_000).meta({ description: 'Number of parts by the plan rule.' }),
  fingerprint: fingerprintSchema.meta({
    description: 'File and version that were opened. The agent checks them until the end.',
  }),
  source_modified_at: timestampSchema.meta({
    description:
      "The file's modification time by the agent's clock; UTC, ISO 8601. A time before the year 1 or after 9999 cannot be represented and is replaced by the first or last moment of this range; `fingerprint` has the exact time.",
  }),
  parts: z
    .array(partAnnouncementSchema)
    .min(1)
    .max(64)
    .meta({ description: 'Parts of the first window, read and hashed.' }),
});
export type Prepared = z.infer<typeof preparedSchema>;

/** Capability of agents that can resume an attempt of an earlier process. */
export const RESUME_CAPABILITY = 'resume';

/**
 * Response to a `prepare_upload` with `resume`: the file is open and its fingerprint matches the version of the kept
 * parts. The agent continues at once, and verifies the kept parts against the file's bytes while it reads them.
 */
const resumedSchema = z.object({
  status: z.literal('resumed'),
  upload_id: uploadIdSchema,
  attempt: attemptSchema,
  size: sizeBytesSchema.meta({ description: 'Same as in `resume`.' }),
  fingerprint: fingerprintSchema.meta({
    description:
      'Fingerprint of the file as opened now; change time and device may differ from those in `resume`.',
  }),
});
export type Resumed = z.infer<typeof resumedSchema>;

/** Requests URLs for the next window, or for parts whose URLs expired. */
const partsReadySchema = z.object({
  status: z.literal('parts_ready'),
  upload_id: uploadIdSchema,
  attempt: attemptSchema,
  parts: z.array(partAnnouncementSchema).min(1).max(64).meta({ description: 'Parts that need a URL.' }),
});
export type PartsReady = z.infer<typeof partsReadySchema>;

/** Parts that S3 has acknowledged since the last such message; sent at most a few times per second. */
const partUploadedSchema = z.object({
  status: z.literal('part_uploaded'),
  upload_id: uploadIdSchema,
  attempt: attemptSchema,
  parts: z
    .array(uploadedPartSchema)
    .min(1)
    .max(10_000)
    .meta({ description: 'Parts acknowledged since the last such message.' }),
  retries: z.int().min(0).default(0).meta({ description: 'Number of repeated PUTs in this attempt.' }),
});
export type PartUploaded = z.infer<typeof partUploadedSchema>;

/** Longer than any delay between two tries, and short enough to yield a valid date. */
const MAX_RETRY_IN_MS = 86_400_000;

/** No part could be stored for a while; the agent keeps trying. The next `part_uploaded` ends this state. */
const stalledSchema = z.object({
  status: z.literal('stalled'),
  upload_id: uploadIdSchema,
  attempt: attemptSchema,
  reason: z
    .string()
    .min(1)
    .max(500)
    .meta({ description: 'Error of the last PUT, for people. Never contains a URL.' }),
  retry_in_ms: z.int().min(0).max(MAX_RETRY_IN_MS).meta({
    description: 'Delay until the next try of the part that failed last, in milliseconds; at most a day.',
  }),
});
export type Stalled = z.infer<typeof stalledSchema>;

/**
 * Progress of an upload including parts in flight. For display only: stored parts are reported by `part_uploaded`. Sent
 * only if `welcome` has `progress_interval_ms`.
 */
const progressSchema = z.object({
  status: z.literal('progress'),
  upload_id: uploadIdSchema,
  attempt: attemptSchema,
  bytes_sent: sizeBytesSchema.meta({
    description:
      'Bytes of the file that are stored, including kept parts, plus bytes of parts in flight that the other end of the connection has acknowledged. Decreases if a part in flight is lost.',
  }),
});
export type Progress = z.infer<typeof progressSchema>;

/** All parts were sent and the file is unchanged. The server decides whether the upload has succeeded. */
const completedSchema = z
  .object({
    status: z.literal('completed'),
    upload_id: uploadIdSchema,
    attempt: attemptOrFirstSchema,
    file_name: fileNameSchema,
    size: sizeBytesSchema,
    parts: z.array(uploadedPartSchema).max(10_000).meta({
      description:
        'All parts that this attempt sent, sorted by part number: 1 to `part_count` unless `resumed`. Empty if `download_file` had the kind `empty`.',
    }),
    resumed: z.boolean().optional().meta({
      description: 'Whether this attempt was `resumed`; `parts` then excludes the kept parts.',
    }),
    upload_duration_ms: z
      .int()
      .min(0)
      .meta({ description: 'Time from the first PUT to the last response, in milliseconds.' }),
    sha256: sha256HexSchema.nullable().default(null).meta({
      description: 'SHA-256 of the whole file; null if it is disabled in the agent’s configuration.',
    }),
  })
  .refine(({ parts, resumed, size }) => parts.length > 0 || resumed === true || size === 0, {
    path: ['parts'],
    message: 'only a resumed attempt, or one of an empty file, may have sent no part',
  });
export type Completed = z.infer<typeof completedSchema>;

/** The agent has ended this attempt with an error. `error` is a code of the error table. */
const failedSchema = z.object({
  status: z.literal('failed'),
  upload_id: uploadIdSchema,
  attempt: attemptOrFirstSchema,
  error: z
    .string()
    .min(1)
    .max(64)
    .meta({ description: 'An error code. The server records unknown codes as `agent_fault`.' }),
  message: z
    .string()
    .max(2000)
    .meta({ description: 'Description for people: what happened and what to change.' }),
});
export type Failed = z.infer<typeof failedSchema>;

const succeeded = z.object({
  status: z.literal('result'),
  command_id: commandIdSchema,
  ok: z.literal(true).meta({ description: 'The command succeeded.' }),
  data: z
    .record(z.string(), z.unknown())
    .meta({ description: 'Result of the command; its shape depends on the command.' }),
});

const refused = z.object({
  status: z.literal('result'),
  command_id: commandIdSchema,
  ok: z.literal(false).meta({ description: 'The command was refused or failed.' }),
  error: z
    .string()
    .min(1)
    .max(64)
    .meta({ description: 'An error code. The server reports unknown codes as `agent_fault`.' }),
  message: z
    .string()
    .max(2000)
    .meta({ description: 'Description for people: what happened and what to change.' }),
});

/** Result of a command that is not an upload. */
const resultSchema = z.discriminatedUnion('ok', [succeeded, refused]);
export type Result = z.infer<typeof resultSchema>;

/** Progress of a command, at most once per second; only of commands that report it, and before their `result`. */
const commandProgressSchema = z.object({
  status: z.literal('command_progress'),
  command_id: commandIdSchema,
  data: z
    .record(z.string(), z.unknown())
    .meta({ description: 'Progress of the command; its shape depends on the command.' }),
});
export type CommandProgressReport = z.infer<typeof commandProgressSchema>;

/** Response to `renew_token`: the agent has stored the token on disk and uses it from its next connection. */
const tokenStoredSchema = z.object({
  status: z.literal('token_stored'),
  renewal_id: renewalIdSchema,
});
export type TokenStored = z.infer<typeof tokenStoredSchema>;

/** A frame could not be handled. The connection stays open; the server logs the error and ends the upload or command of the frame. */
const agentErrorSchema = z.object({
  status: z.literal('error'),
  ...errorFields,
});

/** All messages from an agent to the server, distinguished by `status`. */
export const agentMessageSchema = z.discriminatedUnion('status', [
  helloSchema,
  preparedSchema,
  resumedSchema,
  partsReadySchema,
  partUploadedSchema,
  stalledSchema,
  progressSchema,
  completedSchema,
  failedSchema,
  commandProgressSchema,
  resultSchema,
  tokenStoredSchema,
  agentErrorSchema,
]);
export type AgentMessage = z.infer<typeof agentMessageSchema>;
/** A message before parsing: fields with defaults are optional. */
export type AgentMessageInput = z.input<typeof agentMessageSchema>;
