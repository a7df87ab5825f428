import type { z } from 'zod';
import { type AgentMessage, agentMessageSchema } from './agent-messages/index.ts';
import { type ServerMessage, serverMessageSchema } from './server-messages/index.ts';

/** A frame read: the message, or what is wrong with it, in words that name the field. */
export type Decoded<Message> =
  | { readonly ok: true; readonly message: Message }
  | { readonly ok: false; readonly problem: string };

/** Reads a frame that an agent sent. Never throws: a frame is untrusted input. */
export function decodeAgentMessage(frame: string): Decoded<AgentMessage> {
  return decode(frame, agentMessageSchema, 'status');
}

/** Reads a frame that a server sent. Never throws. */
export function decodeServerMessage(frame: string): Decoded<ServerMessage> {
  return decode(frame, serverMessageSchema, 'action');
}

function decode<Message>(frame: string, schema: z.ZodType<Message>, discriminator: string): Decoded<Message> {
  let json: unknown;
  try {
    json = JSON.parse(frame);
  } catch {
    return { ok: false, problem: 'the frame is not JSON' };
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    return { ok: false, problem: 'the frame is not a JSON object' };
  }
  const parsed = schema.safeParse(json);
  if (parsed.success) return { ok: true, message: parsed.data };
  const kind = (json as Record<string, unknown>)[discriminator];
  const name = typeof kind === 'string' ? `${discriminator} "${kind.slice(0, 64)}"` : `no ${discriminator}`;
  return { ok: false, problem: `${name}: ${describeIssues(parsed.error)}` };
}

/** A peer may choose a field's name, so a problem has to be cut to fit into a message's `message`. */
const MAX_PROBLEM_LENGTH = 500;

/**
 * At most three problems, each with the path of its field, in at most 500 characters; never the offending value,
 * which may be a secret.
 */
export function describeIssues(error: z.ZodError): string {
  return error.issues
    .slice(0, 3)
    .map((issue) => `${issue.path.length > 0 ? `${issue.path.join('.')}: ` : ''}${issue.message}`)
    .join('; ')
    .slice(0, MAX_PROBLEM_LENGTH);
}
