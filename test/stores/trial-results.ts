/** Result of one case on one store. */
export interface TrialResult {
  readonly name: TrialName;
  /** `refused`: the server did not start and reported why in `detail`. */
  readonly outcome: 'ok' | 'refused' | 'failed';
  /** Further information for readers; empty if none. */
  readonly detail: string;
}

/** Sorted as in the table. */
export const trialNames = [
  '`--setup-bucket`, twice',
  '`aws s3 cp`',
  'start',
  'doctor',
  '0 bytes',
  '1 byte',
  'one part',
  'one part + 1 byte',
  '`kill -9` at half of 700 MB',
  'verify, content',
] as const;
export type TrialName = (typeof trialNames)[number];

/** Renders a Markdown table: a row per case, a column per store, with details below it. */
export function renderTrials(results: ReadonlyMap<string, readonly TrialResult[]>): string {
  const stores = [...results.keys()];
  const notes: string[] = [];
  const cell = (store: string, name: TrialName): string => {
    const result = results.get(store)?.find((candidate) => candidate.name === name);
    if (result === undefined) return '–';
    if (result.detail === '') return result.outcome;
    notes.push(`${notes.length + 1}. ${store}, ${name}: ${result.detail.replaceAll(/\s+/g, ' ')}`);
    return `${result.outcome} (${notes.length})`;
  };
  const row = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  const rows = trialNames.map((name) => row([name, ...stores.map((store) => cell(store, name))]));
  return [row(['', ...stores]), row(['', ...stores].map(() => '---')), ...rows, '', ...notes].join('\n');
}
