const presigned = /\?\S*x-amz-\S*|x-amz-[a-z0-9-]+=\S+/gi;

/**
 * What an agent tells people, fit for rows, events and logs: a presigned URL in it would let whoever reads it write to
 * the bucket until it expires. Agents must not send any (docs/protocol.md), but not every agent is ours.
 */
export function withoutSignatures(text: string): string {
  return text.replaceAll(presigned, '?…');
}
