import type { z } from 'zod';
import { type AgentMessage, agentMessageSchema } from './agent-messages/index.ts';
import { boundedParse } from './bounded-parse.ts';
import { type FrameLimits, agentFrameLimits, serverFrameLimits } from './frame-limits.ts';
import { frameProblem } from './frame-shape.ts';
import { type MessageSubject, subjectOf, subjectOfUnread } from './message-subject.ts';
import { type ServerMessage, serverMessageSchema } from './server-messages/index.ts';

/** What is wrong with a frame, in words that name the field, and what has to end because the message is not handled. */
export interface Refusal {
  readonly problem: string;
  /** Of a known message only: one that is not known here is of a newer peer, and none of its uploads' business. */
  readonly subject: MessageSubject | null;
  /** The message is well-formed, but no message of this version: it may be of a newer peer, which does nothing wrong. */
  readonly isUnknownKind?: boolean;
}

/** A frame read: the message, or why it cannot be read. */
export type Decoded<Message> =
  | { readonly ok: true; readonly message: Message }
  | ({ readonly ok: false } & Refusal);

/** Reads a frame that an agent sent. Never throws: a frame is untrusted input. */
export function decodeAgentMessage(frame: string): Decoded<AgentMessage> {
  return decode(frame, agentReader);
}

/** Reads a frame that a server sent. Never throws. */
export function decodeServerMessage(frame: string): Decoded<ServerMessage> {
  return decode(frame, serverReader);
}

/** Reads the messages of one side. */
interface Reader<Message> {
  readonly schema: z.ZodType<Message>;
  readonly limits: FrameLimits;
  /** The schema of each message, by its discriminator. */
  readonly kinds: ReadonlyMap<unknown, z.ZodType<Message>>;
}

type MessageSchema<Message> = z.ZodType<Message> & { readonly options: readonly z.core.$ZodType[] };

function readerOf<Message>(schema: MessageSchema<Message>, limits: FrameLimits): Reader<Message> {
  const kinds = schema.options.flatMap((option) =>
    [...(option._zod.propValues?.[limits.discriminator] ?? [])].map(
      (kind) => [kind, option as z.ZodType<Message>] as const,
    ),
  );
  return { schema, limits, kinds: new Map(kinds) };
}

const agentReader = readerOf(agentMessageSchema, agentFrameLimits);
const serverReader = readerOf(serverMessageSchema, serverFrameLimits);

function decode<Message>(frame: string, { schema, limits, kinds }: Reader<Message>): Decoded<Message> {
  const problem = frameProblem(frame, limits);
  if (problem !== null) return { ok: false, problem, subject: subjectOfUnread(frame) };
  let json: unknown;
  try {
    json = JSON.parse(frame);
  } catch {
    return { ok: false, problem: 'the frame is not JSON', subject: null };
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    return { ok: false, problem: 'the frame is not a JSON object', subject: null };
  }
  const { discriminator } = limits;
  const kind = (json as Record<string, unknown>)[discriminator];
  const known = kinds.get(kind);
  const parsed = boundedParse(known ?? schema, json);
  if (parsed.success) return { ok: true, message: parsed.data };
  const name = typeof kind === 'string' ? `${discriminator} "${kind.slice(0, 64)}"` : `no ${discriminator}`;
  return {
    ok: false,
    problem: `${name}: ${describeIssues(parsed.error)}`,
    subject: known === undefined ? null : subjectOf(json),
    ...(known === undefined && typeof kind === 'string' ? { isUnknownKind: true } : {}),
  };
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
