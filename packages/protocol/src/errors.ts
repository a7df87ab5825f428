import { z } from 'zod';

/** Category of an error, which determines the exit code of the command line. */
export type ErrorKind =
  | 'fault'
  | 'usage'
  | 'not_authorised'
  | 'not_found'
  | 'temporary'
  | 'refused_by_agent'
  | 'pull_failed';

interface ErrorTableRow {
  readonly httpStatus: number;
  readonly retryable: boolean;
  readonly kind: ErrorKind;
  readonly sentence: string;
}

/**
 * All error codes of Backhaul, for the wire protocol, the REST API and the command line. A code is never reused with
 * another meaning. `docs/errors.md` is generated from this table.
 *
 * - `httpStatus`: status of the REST API for this error.
 * - `retryable`: whether the same request can succeed later without a change.
 * - `kind`: category of the error.
 * - `sentence`: description for people.
 */
export const errorTable = {
  // Requests
  invalid_request: row(400, false, 'usage', 'The request is malformed; the message names the field.'),
  unauthorized: row(401, false, 'not_authorised', 'The token is missing or not valid for this server.'),
  forbidden: row(403, false, 'not_authorised', 'The token is valid but lacks the required scope.'),
  not_found: row(404, false, 'not_found', 'This path does not exist.'),
  client_not_found: row(404, false, 'not_found', 'No agent with this client_id has ever connected.'),
  upload_not_found: row(404, false, 'not_found', 'There is no upload with this id.'),
  unknown_command: row(404, false, 'usage', 'There is no command with this name.'),
  object_not_found: row(404, false, 'not_found', 'The object is no longer in the bucket.'),
  method_not_allowed: row(405, false, 'usage', 'This path does not support this method.'),
  client_offline: row(409, true, 'temporary', 'The agent is not connected.'),
  client_blocked: row(409, true, 'temporary', 'An operator has blocked this client.'),
  client_busy: row(409, true, 'temporary', 'The client still has unfinished uploads.'),
  not_supported: row(409, false, 'usage', 'The agent is too old for this request.'),
  idempotency_conflict: row(
    409,
    false,
    'usage',
    'This Idempotency-Key was already used for a different request.',
  ),
  upload_not_completed: row(409, true, 'temporary', 'The upload has no finished object yet.'),
  upload_finished: row(409, false, 'usage', 'The upload has already ended and cannot be cancelled.'),
  upload_not_finished: row(409, true, 'usage', 'The upload is still running; cancel it first.'),
  upload_not_retryable: row(
    409,
    false,
    'usage',
    'Only failed, cancelled and expired uploads can be retried.',
  ),
  payload_too_large: row(413, false, 'usage', 'The request body is too large.'),
  unsupported_media_type: row(415, false, 'usage', 'The request body must be application/json.'),
  upgrade_required: row(426, false, 'usage', 'This path accepts only WebSocket connections of agents.'),
  too_many_requests: row(429, true, 'temporary', 'Too many requests at once; try again shortly.'),
  internal_error: row(500, true, 'fault', 'Unexpected internal error; see the server log.'),
  database_unavailable: row(503, true, 'temporary', 'The database is currently not writable.'),
  keys_unavailable: row(
    503,
    true,
    'temporary',
    'Tokens cannot be checked, because the identity provider’s keys cannot be fetched.',
  ),
  shutting_down: row(503, true, 'temporary', 'The server is shutting down.'),
  command_timeout: row(504, true, 'temporary', 'The agent did not respond to the command in time.'),

  // The file
  file_not_found: row(404, false, 'not_found', 'There is no such file on the agent’s machine.'),
  path_not_allowed: row(403, false, 'refused_by_agent', 'The agent’s allow-list does not include this path.'),
  permission_denied: row(403, false, 'refused_by_agent', 'The agent has no permission to read this file.'),
  not_a_file: row(422, false, 'refused_by_agent', 'The path is not a regular file.'),
  not_a_directory: row(422, false, 'refused_by_agent', 'The path is not a directory.'),
  invalid_path: row(422, false, 'usage', 'A file with this path cannot exist on the agent’s machine.'),
  file_locked: row(409, true, 'pull_failed', 'Another program has locked the file.'),
  file_too_large: row(422, false, 'refused_by_agent', 'The file exceeds the size limit.'),
  file_changed: row(409, true, 'pull_failed', 'The file changed while it was being read.'),
  read_failed: row(502, true, 'pull_failed', 'The agent could not read the file to its end.'),
  agent_busy: row(409, true, 'temporary', 'The agent has reached its limit of simultaneous uploads.'),

  // The transfer
  checksum_mismatch: row(502, true, 'pull_failed', 'The stored bytes do not match the file’s checksum.'),
  storage_unavailable: row(503, true, 'temporary', 'The object store cannot be reached or is failing.'),
  storage_refused: row(
    502,
    false,
    'pull_failed',
    'The object store refused the request; its settings or policy must be changed.',
  ),
  storage_not_allowed: row(
    403,
    false,
    'refused_by_agent',
    'The agent’s policy does not allow uploads to this address.',
  ),
  upload_gone: row(409, true, 'pull_failed', 'The multipart upload no longer exists in the object store.'),
  upload_expired: row(410, true, 'pull_failed', 'The upload was not finished before its deadline.'),
  cancelled: row(409, false, 'pull_failed', 'The upload was cancelled.'),
  plan_mismatch: row(
    502,
    false,
    'fault',
    'Agent and server compute different part plans for this file; their versions are incompatible.',
  ),
  protocol_error: row(502, false, 'fault', 'The other side sent a message that the protocol does not allow.'),
  agent_fault: row(502, true, 'fault', 'Unexpected error in the agent; see the agent’s log.'),
} as const satisfies Record<string, ErrorTableRow>;

function row(httpStatus: number, retryable: boolean, kind: ErrorKind, sentence: string): ErrorTableRow {
  return { httpStatus, retryable, kind, sentence };
}

export type ErrorCode = keyof typeof errorTable;
export const errorCodes = Object.keys(errorTable) as [ErrorCode, ...ErrorCode[]];

export function isErrorCode(value: string): value is ErrorCode {
  return Object.hasOwn(errorTable, value);
}

/**
 * Specific reasons for refusing an agent's connection before the upgrade: the field `reason` of the error response, and a
 * label of the server's metric. Clients ignore unknown reasons.
 */
export const refusalReasons = [
  'token_missing',
  /** Not a signed JSON Web Token, too long, or signed with an algorithm that is not accepted. */
  'token_malformed',
  'token_expired',
  'token_not_yet_valid',
  /** Signed with another key. */
  'token_signature',
  'token_issuer',
  /** An operator token, or a token for another purpose. */
  'token_kind',
  'token_claims',
  /** A token that was renewed, and whose replacement was used since. */
  'token_replaced',
  /** No client certificate, or that of another client. */
  'certificate',
  /** Blocked by an operator (`backhaul block`). */
  'blocked',
  /** Disconnected several times for messages that the protocol does not allow. */
  'abuse',
  /** Another subprotocol or path. */
  'protocol',
  'busy',
  /** The identity provider cannot be reached. */
  'keys_unavailable',
  'shutting_down',
  'fault',
] as const;
export type RefusalReason = (typeof refusalReasons)[number];

/**
 * An error with a code from the error table. Within a program it is thrown; between programs only its `code` and
 * `message` are sent.
 */
export class BackhaulError extends Error {
  override readonly name = 'BackhaulError';
  readonly code: ErrorCode;
  /** More specific reason for refusing a connection or token. */
  readonly reason: RefusalReason | undefined;

  /** @param message Description for people: what happened and what to change. Default: the table's sentence. */
  constructor(
    code: ErrorCode,
    message: string = errorTable[code].sentence,
    options: ErrorOptions & { readonly reason?: RefusalReason } = {},
  ) {
    super(message, options);
    this.code = code;
    this.reason = options.reason;
  }
}

/** Error response of the API: `application/problem+json` (RFC 9457). */
export const problemSchema = z
  .object({
    type: z.string().meta({ description: '`urn:backhaul:error:` followed by the code.' }),
    title: z.string(),
    status: z.int(),
    code: z.enum(errorCodes),
    detail: z.string().meta({ description: 'Details of this occurrence and what to change.' }),
    reason: z.string().max(64).optional().meta({
      description: 'More specific reason for a refused token or connection, e.g. `token_expired`.',
    }),
  })
  .meta({ id: 'Problem' });
export type Problem = z.infer<typeof problemSchema>;

export function problemOf(error: BackhaulError): Problem {
  const { httpStatus, sentence } = errorTable[error.code];
  return {
    type: `urn:backhaul:error:${error.code}`,
    title: sentence,
    status: httpStatus,
    code: error.code,
    detail: error.message,
    ...(error.reason !== undefined && { reason: error.reason }),
  };
}
