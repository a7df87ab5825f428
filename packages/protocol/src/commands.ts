import { z } from 'zod';
import { commandIdSchema, filePathSchema, sizeBytesSchema, timestampSchema } from './fields.ts';

const countSchema = z.int().min(0);

/** Result of `health_check`. */
const healthReportSchema = z
  .object({
    agent_version: z.string(),
    uptime_ms: z.int().min(0),
    rss_bytes: sizeBytesSchema,
    active_uploads: z.int().min(0),
    max_uploads: z.int().min(1),
    allowed: z.array(z.string()).max(1000).meta({ description: 'Paths that the agent is allowed to read.' }),
    max_rate_bytes_per_second: z.int().nullable(),
    hanging_file_calls: z.int().min(0).optional().meta({
      description: 'Number of hanging file system calls, e.g. on a dead mount. Absent from old agents.',
    }),
    hanging_mounts: z
      .array(z.string().max(4096))
      .max(100)
      .optional()
      .meta({ description: 'Mount points of the file systems of these calls.' }),
  })
  .meta({ id: 'HealthReport' });
export type HealthReport = z.infer<typeof healthReportSchema>;

const directoryEntrySchema = z.object({
  name: z.string().max(4096),
  type: z.enum(['file', 'directory', 'symlink', 'other']),
  size: sizeBytesSchema
    .nullable()
    .meta({ description: 'Size of a file in bytes; null for other types, and for more than 2^53 - 1.' }),
  modified_at: timestampSchema
    .nullable()
    .meta({ description: 'Modification time; null for a time before the year 1 or after 9999.' }),
});

/** Result of `list_directory`. Entries are sorted by name; `truncated` is set if there are more. */
const directoryListingSchema = z
  .object({
    path: filePathSchema,
    entries: z.array(directoryEntrySchema).max(5000),
    truncated: z.boolean(),
    next_cursor: z.string().max(4096).optional().meta({
      description:
        '`cursor` of the next page, if any. Also absent from agents without the capability `list_pages`.',
    }),
  })
  .meta({ id: 'DirectoryListing' });
export type DirectoryListing = z.infer<typeof directoryListingSchema>;

/** Capability of agents that support pages and prefixes in `list_directory`. */
export const LIST_PAGES_CAPABILITY = 'list_pages';

/** Selects entries of a directory; only for agents with the capability `list_pages`. */
const listingRange = {
  prefix: z.string().min(1).max(1024).optional().meta({
    description: 'Only entries whose names start with this text. Requires the capability `list_pages`.',
  }),
  cursor: z.string().min(1).max(4096).optional().meta({
    description:
      'Only entries after the previous page: its `next_cursor`. Requires the capability `list_pages`.',
  }),
  limit: z.int().min(1).max(5000).optional().meta({
    description: 'Maximum number of entries; default 5,000. Requires the capability `list_pages`.',
  }),
};

/** Maximum number of files in the result of `disk_usage`. */
const MAX_LARGEST = 100;

const diskUsageTotals = {
  bytes: sizeBytesSchema.meta({
    description: 'Sum of the sizes of the regular files. A file with several hard links counts once.',
  }),
  allocated_bytes: sizeBytesSchema.meta({
    description:
      'Sum of the space allocated for them, which is less for sparse files; 0 if the file system does not report it.',
  }),
  files: countSchema.meta({ description: 'Number of regular files.' }),
  directories: countSchema.meta({ description: 'Number of directories below `path`.' }),
  unreadable: countSchema.meta({
    description:
      'Files and directories that were skipped: no permission, no response of the file system, or changed during the walk.',
  }),
};

/** Progress of `disk_usage`: the totals so far. */
const diskUsageProgressSchema = z.object(diskUsageTotals).meta({ id: 'DiskUsageProgress' });
export type DiskUsageProgress = z.infer<typeof diskUsageProgressSchema>;

/** Result of `disk_usage`. */
const diskUsageSchema = z
  .object({
    path: filePathSchema,
    ...diskUsageTotals,
    others: countSchema.meta({
      description: 'Symbolic links, which are not followed, devices, sockets, pipes.',
    }),
    repeated_links: countSchema.meta({
      description: 'Further hard links of files that are already included.',
    }),
    other_file_systems: countSchema.meta({
      description: 'Directories that were not entered because another file system is mounted there.',
    }),
    largest: z
      .array(
        z.object({
          path: z.string().max(4096),
          size: sizeBytesSchema,
          modified_at: timestampSchema.nullable(),
        }),
      )
      .max(MAX_LARGEST)
      .meta({ description: 'The largest files, largest first.' }),
  })
  .meta({ id: 'DiskUsage' });
export type DiskUsage = z.infer<typeof diskUsageSchema>;

/** Parameters that a command got after its first release, and the capability of agents that support them. */
interface AddedParameters {
  readonly capability: string;
  readonly names: readonly string[];
}

/**
 * A command: its parameters, as fields of its wire message and as the body of `POST /clients/{client_id}/commands/{name}`
 * (which refuses unknown parameters), its result, its progress if it reports any, and the time within which an agent must
 * respond or report progress. Its name is also the capability by which an agent announces it.
 */
function command<
  const Name extends string,
  Fields extends z.ZodRawShape,
  Result extends z.ZodType,
  Progress extends z.ZodType | null = null,
>(
  name: Name,
  {
    parameters,
    result,
    progress = null as Progress,
    timeoutMs,
    added = null,
  }: {
    readonly parameters: Fields;
    readonly result: Result;
    /** A command that reports progress can also be cancelled. */
    readonly progress?: Progress;
    readonly timeoutMs: number;
    readonly added?: AddedParameters | null;
  },
) {
  return {
    message: z.object({ action: z.literal(name), command_id: commandIdSchema, ...parameters }),
    parameters: z.strictObject(parameters),
    result,
    progress,
    timeoutMs,
    added,
  };
}

/** Commands that operators can run on an agent, by their names in both APIs. The agent responds with a `result`. */
export const commands = {
  /** Reports the state of the agent. */
  health_check: command('health_check', { parameters: {}, result: healthReportSchema, timeoutMs: 30_000 }),
  /** Lists a directory inside the agent's allow-list. */
  list_directory: command('list_directory', {
    parameters: { path: filePathSchema, ...listingRange },
    result: directoryListingSchema,
    timeoutMs: 30_000,
    added: { capability: LIST_PAGES_CAPABILITY, names: Object.keys(listingRange) },
  }),
  /** Adds up the files below a directory inside the agent's allow-list. */
  disk_usage: command('disk_usage', {
    parameters: {
      path: filePathSchema,
      largest: z.int().min(1).max(MAX_LARGEST).optional().meta({
        description: 'Number of files in `largest`; default 20.',
      }),
    },
    result: diskUsageSchema,
    progress: diskUsageProgressSchema,
    // Four calls that hang, one after another; each ends after 30 s.
    timeoutMs: 120_000,
  }),
} as const;
export type CommandName = keyof typeof commands;
export const commandNames = Object.keys(commands) as CommandName[];

export type CommandParameters<Name extends CommandName> = z.infer<(typeof commands)[Name]['parameters']>;
export type CommandResult<Name extends CommandName> = z.infer<(typeof commands)[Name]['result']>;
/** `never` for a command that reports none. */
export type CommandProgress<Name extends CommandName> = z.infer<
  Extract<(typeof commands)[Name]['progress'], z.ZodType>
>;

/**
 * Returns what an agent with these capabilities does not support: the command, or it with parameters that were added
 * later. Undefined if it supports all.
 */
export function unsupportedPart(
  capabilities: ReadonlySet<string>,
  name: CommandName,
  parameters: object,
): string | undefined {
  if (!capabilities.has(name)) return name;
  const { added } = commands[name];
  if (added === null || capabilities.has(added.capability)) return undefined;
  const used = added.names.filter((parameter) => parameter in parameters);
  return used.length === 0 ? undefined : `${name} with ${used.join(' and ')}`;
}

/** Null for a command that reports no progress, which cannot be cancelled either. */
export function progressSchemaOf(name: CommandName): z.ZodType | null {
  return commands[name].progress;
}

/** Response of `POST /clients/{client_id}/commands/{name}`. */
export const commandAnswerSchema = z
  .object({
    command_id: commandIdSchema,
    duration_ms: z.int().min(0),
    result: z.union(Object.values(commands).map(({ result }) => result)),
  })
  .meta({ id: 'CommandAnswer' });
export type CommandAnswer = z.infer<typeof commandAnswerSchema>;

/** Server-sent events of a command that reports progress: each report, then the `CommandAnswer` or the `Problem`. */
export const COMMAND_PROGRESS_EVENT = 'command_progress';
export const COMMAND_RESULT_EVENT = 'result';
export const COMMAND_PROBLEM_EVENT = 'problem';
