import { z } from 'zod';
import { type AgentMessage, agentMessageSchema } from './agent-messages.ts';
import { boundedParse } from './bounded-parse.ts';
import { attemptOrFirstSchema, commandIdSchema, uploadIdSchema } from './fields.ts';
import { agentFrameLimits, type FrameLimits, frameProblem, serverFrameLimits } from './frame-limits.ts';
import { type ServerMessage, serverMessageSchema } from './server-messages.ts';

/** The attempt or command to which a message belongs. */
export type MessageSubject =
  | { readonly upload_id: string; readonly attempt: number }
  | { readonly command_id: string };

/** Why a frame was refused, and which upload or command must end because its message is not handled. */
export interface Refusal {
  readonly problem: string;
  /** Set only for known messages: an unknown message comes from a newer peer and must not end an upload. */
  readonly subject: MessageSubject | null;
  /** The message is well-formed but unknown to this version: it may come from a newer peer, which is not an error. */
  readonly isUnknownKind?: boolean;
}

/** A decoded message, or the reason why the frame was refused. */
export type Decoded<Message> =
  | { readonly ok: true; readonly message: Message }
  | ({ readonly ok: false } & Refusal);

/** Decodes a frame from an agent. Never throws: frames are untrusted input. */
export function decodeAgentMessage(frame: string): Decoded<AgentMessage> {
  return decode(frame, agentReader);
}

/** Decodes a frame from a server. Never throws. */
export function decodeServerMessage(frame: string): Decoded<ServerMessage> {
  return decode(frame, serverReader);
}

/** Decodes the messages of one side. */
interface Reader<Message> {
  readonly schema: z.ZodType<Message>;
  readonly limits: FrameLimits;
  /** Schemas of the messages by discriminator. */
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

// Pure, so that the bundled agent has no schemas of the messages that only a server reads. They would take 7 MB.
const agentReader = /* @__PURE__ */ readerOf(agentMessageSchema, agentFrameLimits);
const serverReader = /* @__PURE__ */ readerOf(serverMessageSchema, serverFrameLimits);

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

/** `download_file` has its upload in `upload_config`. */
const uploadCarrier = { upload_id: z.unknown().optional(), attempt: z.unknown().optional() };
const carrierSchema = z.object({
  ...uploadCarrier,
  command_id: z.unknown().optional(),
  upload_config: z.object(uploadCarrier).optional().catch(undefined),
});

/** Finds the subject of a frame that is too expensive to parse. A forged subject can affect only the sender's own work. */
function subjectOfUnread(frame: string): MessageSubject | null {
  const beginning = frame.slice(0, 1024);
  const id = (name: string) => new RegExp(`"${name}":\\s*"([^"]{36})"`).exec(beginning)?.[1];
  const attempt = /"attempt":\s*(\d{1,7})\b/.exec(beginning)?.[1];
  return subjectOf({
    command_id: id('command_id'),
    upload_id: id('upload_id'),
    ...(attempt === undefined ? {} : { attempt: Number(attempt) }),
  });
}

/** Finds the subject of a JSON object, even if its other fields are invalid; null if it has no valid subject. */
export function subjectOf(json: object): MessageSubject | null {
  const carrier = carrierSchema.safeParse(json).data;
  if (carrier === undefined) return null;
  const command = commandIdSchema.safeParse(carrier.command_id);
  if (command.success) return { command_id: command.data };
  const about = carrier.upload_config ?? carrier;
  const upload = uploadIdSchema.safeParse(about.upload_id);
  const attempt = attemptOrFirstSchema.safeParse(about.attempt);
  return upload.success && attempt.success ? { upload_id: upload.data, attempt: attempt.data } : null;
}

/** The peer chooses names of unknown fields, so problems are truncated to fit into a `message`. */
const MAX_PROBLEM_LENGTH = 500;

/**
 * Describes at most three issues with the paths of their fields, in at most 500 characters. Never contains the invalid
 * value, which may be a secret.
 */
export function describeIssues(error: z.ZodError): string {
  return error.issues
    .slice(0, 3)
    .map((issue) => `${issue.path.length > 0 ? `${issue.path.join('.')}: ` : ''}${issue.message}`)
    .join('; ')
    .slice(0, MAX_PROBLEM_LENGTH);
}
