import type { ObjectVerification } from '@backhaul/protocol';

/** One comparison; `ok` is null if a value is missing on either side. */
export interface Check {
  readonly name: string;
  readonly ok: boolean | null;
  readonly expected: string | null;
  readonly found: string | null;
}

/** The server's result, extended by the checks of the content. */
export interface VerificationReport extends ObjectVerification {
  /** Null if the object was not read. */
  readonly content: { readonly checks: readonly Check[] } | null;
}

export function reportOf(
  found: ObjectVerification,
  contentChecks: readonly Check[] | undefined,
): VerificationReport {
  if (contentChecks === undefined) return { ...found, content: null };
  return {
    ...found,
    verdict: contentChecks.some(differs) ? 'altered' : found.verdict,
    content: { checks: contentChecks },
  };
}

/** Reading is pointless if token or size differ: the object cannot be the file. */
export function isWorthReading({ checks }: ObjectVerification): boolean {
  return !checks.some((check) => differs(check) && decisive.has(check.name));
}

/** Names of the checks that differ, including those of the content. */
export function differences({ checks, content }: VerificationReport): string[] {
  return [
    ...checks.filter(differs).map(({ name }) => name),
    ...(content?.checks ?? []).filter(differs).map(({ name }) => `content ${name}`),
  ];
}

/** How an intact object was verified, and whether reading it would be stronger proof. */
export function verificationLevel({ verification, content }: VerificationReport): {
  description: string;
  isWeak: boolean;
} {
  if (content !== null) {
    const strongest = content.checks.findLast(({ ok }) => ok === true);
    const description = `content read, ${strongest === undefined ? 'not verified' : `verified by ${strongest.name}`}`;
    return { description, isWeak: false };
  }
  switch (verification) {
    case 'full_object':
      return { description: 'verified by the store’s checksum of the whole object', isWeak: false };
    case 'parts':
      return {
        description: 'verified by size and ETag: the store has no checksum of the whole object',
        isWeak: true,
      };
    case 'size_only':
    case null:
      return { description: 'verified by size only', isWeak: true };
  }
}

const decisive: ReadonlySet<string> = new Set(['token', 'size']);

function differs({ ok }: Check): boolean {
  return ok === false;
}
