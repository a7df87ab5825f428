const presigned = /\?\S*x-amz-\S*|x-amz-[a-z0-9-]+=\S+/gi;

/**
 * Makes an agent's text safe for rows, events and logs: with a presigned URL in it, any reader could write to the
 * bucket until it expires. Agents must not send any (docs/protocol.md), but not every agent is ours.
 */
export function withoutSignatures(text: string): string {
  return text.replaceAll(presigned, '?…');
}
