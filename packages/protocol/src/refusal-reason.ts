/**
 * Why an agent's connection was refused before the upgrade, in more detail than the error code: the field `reason` of the
 * refusal's body, and a label of the server's metric. Readers ignore those that they do not know.
 */
export const refusalReasons = [
  'token_missing',
  /** Not a signed JSON Web Token, too long, or of an algorithm that is not accepted. */
  'token_malformed',
  'token_expired',
  'token_not_yet_valid',
  /** Signed with another key. */
  'token_signature',
  'token_issuer',
  /** A token for operators, or for something else. */
  'token_kind',
  'token_claims',
  /** Its renewed token has been used since. */
  'token_replaced',
  /** No client certificate, or one of another client. */
  'certificate',
  /** By an operator (`backhaul block`). */
  'blocked',
  /** Disconnected several times for messages that the protocol does not allow. */
  'abuse',
  /** No agent of this protocol, or another path. */
  'protocol',
  'busy',
  /** The identity provider is out of reach. */
  'keys_unavailable',
  'shutting_down',
  'fault',
] as const;
export type RefusalReason = (typeof refusalReasons)[number];
