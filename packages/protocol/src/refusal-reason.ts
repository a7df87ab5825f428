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
