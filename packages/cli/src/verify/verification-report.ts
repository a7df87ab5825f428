import type { ObjectVerification } from '@backhaul/protocol';

/** One thing compared; `ok` is null where there was nothing to compare. */
export interface Check {
  readonly name: string;
  readonly ok: boolean | null;
  readonly expected: string | null;
  readonly found: string | null;
}

/** The server's finding, and what reading the object added to it. */
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

/** Another object than the upload's own, or of another length, cannot be the file: its bytes tell nothing more. */
export function isWorthReading({ checks }: ObjectVerification): boolean {
  return !checks.some((check) => differs(check) && decisive.has(check.name));
}

/** The names of what differs, in order, those of the content too. */
export function differences({ checks, content }: VerificationReport): string[] {
  return [
    ...checks.filter(differs).map(({ name }) => name),
    ...(content?.checks ?? []).filter(differs).map(({ name }) => `content ${name}`),
  ];
}

/** What an intact object was compared by, and whether that leaves a doubt which reading it would settle. */
export function sureness({ verification, content }: VerificationReport): { by: string; doubt: boolean } {
  if (content !== null) {
    const strongest = content.checks.findLast(({ ok }) => ok === true);
    return { by: `read whole, compared by ${strongest?.name ?? 'nothing'}`, doubt: false };
  }
  switch (verification) {
    case 'full_object':
      return { by: 'by the store’s checksum of the whole object', doubt: false };
    case 'parts':
      return { by: 'as far as the store tells: it keeps no checksum of the whole object', doubt: true };
    case 'size_only':
    case null:
      return { by: 'as far as the store tells: it vouches for the size alone', doubt: true };
  }
}

const decisive: ReadonlySet<string> = new Set(['token', 'size']);

function differs({ ok }: Check): boolean {
  return ok === false;
}
