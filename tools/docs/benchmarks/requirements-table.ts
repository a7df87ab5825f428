import { isMet } from '../../../bench/experiment.ts';
import type { Result } from '../../../bench/report/results.ts';
import { limitText, measuredText } from '../../../bench/report/terminal.ts';
import { markdownTable } from '../markdown-table.ts';

/** Requirements of all experiments; missed ones are highlighted. */
export function requirementsTable(results: readonly Result[]): string {
  return markdownTable(
    ['requirement', 'limit', 'measured', '', 'experiment'],
    results.flatMap(({ name, findings }) =>
      findings.requirements.map((requirement) => [
        requirement.text,
        limitText(requirement),
        measuredText(requirement),
        isMet(requirement) ? 'met' : '**missed**',
        `[${name}](#${name})`,
      ]),
    ),
  );
}
