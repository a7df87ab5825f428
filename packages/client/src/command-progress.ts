import {
  COMMAND_PROBLEM_EVENT,
  COMMAND_PROGRESS_EVENT,
  COMMAND_RESULT_EVENT,
  type Opened,
  problemSchema,
  type ResponseSchema,
} from '@backhaul/protocol';
import { Deadline } from './deadline.ts';
import { readProblem, UnexpectedAnswerError } from './errors.ts';
import { readEvents } from './event-stream.ts';
import { parseBody, type Request, type Transport } from './transport.ts';

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
export async function runWithProgress<T>(
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
