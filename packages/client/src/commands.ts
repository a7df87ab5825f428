import {
  BackhaulError,
  COMMAND_PROBLEM_EVENT,
  COMMAND_PROGRESS_EVENT,
  COMMAND_RESULT_EVENT,
  type CommandName,
  type CommandParameters,
  type CommandProgress,
  type CommandResult,
  commandAnswerSchema,
  commands,
  type Opened,
  problemSchema,
  progressSchemaOf,
  type ResponseSchema,
} from '@backhaul/protocol';
import type { CallOptions, CommandOptions } from './call-options.ts';
import { Deadline } from './deadline.ts';
import { readProblem, UnexpectedAnswerError } from './errors.ts';
import { readEvents } from './event-stream.ts';
import { parseBody, path, type Request, type Transport } from './transport.ts';

/** Added to a command's time limit. */
const RESPONSE_TIMEOUT_MS = 120_000;

/** Maximum entries in a page of `listDirectory`. */
const MAX_LISTED = 5000;
/** Ten million entries, or fewer if names are so long that a frame does not hold a full page. */
const MAX_LIST_PAGES = 2000;

interface Command<Name extends CommandName> {
  readonly clientId: string;
  readonly name: Name;
  readonly parameters: CommandParameters<Name>;
}

/** See `BackhaulClient.runCommand`. */
export async function runCommand<Name extends CommandName>(
  transport: Transport,
  { clientId, name, parameters }: Command<Name>,
  { signal, onProgress }: CommandOptions<Name> = {},
): Promise<Opened<CommandResult<Name>>> {
  const to = path`/clients/${clientId}/commands/${name}`;
  const { result } = commands[name];
  const timeoutMs = RESPONSE_TIMEOUT_MS + commands[name].timeoutMs;
  const progressSchema = progressSchemaOf(name);
  const schema = commandAnswerSchema.extend({ result });
  const call = { method: 'POST', body: parameters, signal } as const;
  const response =
    progressSchema === null
      ? await transport.json(to, schema, { ...call, timeoutMs })
      : await runWithProgress(transport, to, {
          ...call,
          timeoutMs,
          schema,
          onProgress: (data) => {
            const parsed = progressSchema.safeParse(data);
            if (parsed.success) onProgress?.(parsed.data as CommandProgress<Name>);
          },
        });
  // TypeScript does not relate the schema picked by `name` to the type picked by `Name`.
  return response.result as Opened<CommandResult<Name>>;
}

/** See `BackhaulClient.listDirectory`. */
export async function* listDirectory(
  transport: Transport,
  { clientId, parameters }: Omit<Command<'list_directory'>, 'name'>,
  options: CallOptions,
): AsyncGenerator<Opened<CommandResult<'list_directory'>>, void, undefined> {
  let left = parameters.limit ?? Infinity;
  let cursor = parameters.cursor;
  for (let pages = 1; ; pages += 1) {
    const range = {
      ...(cursor !== undefined && { cursor }),
      ...(left < Infinity && { limit: Math.min(left, MAX_LISTED) }),
    };
    const command = { clientId, name: 'list_directory', parameters: { ...parameters, ...range } } as const;
    const page = await runCommand(transport, command, options);
    yield page;
    left -= page.entries.length;
    const next = page.next_cursor;
    if (next === undefined || left <= 0) return;
    // The agent is not trusted: guard against endless pagination.
    if (page.entries.length === 0 || next === cursor || pages === MAX_LIST_PAGES) {
      throw new BackhaulError('protocol_error', 'The agent sent an endless directory listing.');
    }
    cursor = next;
  }
}

interface CommandRequest<T> extends Request {
  /** Maximum time without data. */
  readonly timeoutMs: number;
  readonly schema: ResponseSchema<T>;
  readonly onProgress: (progress: unknown) => void;
}

/**
 * Runs a command that reports progress. The server responds with events once there is progress to report, else with the
 * result alone.
 */
async function runWithProgress<T>(
  transport: Transport,
  path: string,
  { timeoutMs, schema, onProgress, ...request }: CommandRequest<T>,
): Promise<Opened<T>> {
  const { signal } = request;
  using deadline = new Deadline(timeoutMs, signal);
  const headers = { accept: 'text/event-stream, application/json, application/problem+json' };
  try {
    const response = await transport.open(path, { ...request, headers }, deadline.signal);
    const type = response.headers.get('content-type') ?? '';
    if (!type.startsWith('text/event-stream') || response.body === null) {
      return await parseBody(response, path, schema);
    }
    for await (const { event, data } of readEvents(response.body, { transport, deadline, signal })) {
      if (event === COMMAND_RESULT_EVENT) return await parseBody(new Response(data), path, schema);
      if (event === COMMAND_PROGRESS_EVENT) onProgress(jsonOf(data));
      if (event === COMMAND_PROBLEM_EVENT) {
        // The same problem as in a response with its status, which it names itself.
        const { status = 500 } = problemSchema.safeParse(jsonOf(data)).data ?? {};
        throw await readProblem(new Response(data, { status }), {
          request: `POST ${path}`,
          origin: transport.origin,
        });
      }
    }
  } catch (error) {
    throw transport.failure(error, deadline, signal);
  }
  throw new UnexpectedAnswerError(`${path} ended without a result`, 200);
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
