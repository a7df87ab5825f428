/** What went wrong, for a terminal; of several causes each. */
export function messageOf(error: unknown): string {
  const causes =
    error instanceof AggregateError ? error.errors.map((cause) => `\n  ${messageOf(cause)}`) : [];
  return `${error instanceof Error ? error.message : String(error)}${causes.join('')}`;
}
