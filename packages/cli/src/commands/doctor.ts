import { BackhaulError, type Finding, type Opened, printable } from '@backhaul/protocol';
import { connect, type Context, defineCommand } from '../command.ts';
import { checkSettings, checkToken, failed } from '../doctor/client-checks.ts';
import { checkReach, checkReadiness, fetchDiagnosis } from '../doctor/server-checks.ts';
import { UsageError } from '../errors.ts';
import { DONE, exitCodes } from '../failure.ts';
import type { Output } from '../output.ts';

interface Examination {
  readonly findings: readonly (Opened<Finding> & { readonly from: 'client' | 'server' })[];
  readonly server_version: string | null;
}

export const doctor = defineCommand<readonly []>({
  name: 'doctor',
  summary: 'check settings, connection and server, and suggest fixes',
  description:
    'Exits with 0 if no check reports an error, with 5 if the server is unreachable or not ready, otherwise with 1.',
  examples: ['backhaul doctor', 'backhaul doctor --json | jq \'.findings[] | select(.level == "error")\''],
  async run(context) {
    const { output } = context;
    const examination = await examine(context);
    if (output.json) output.value(examination);
    else for (const finding of examination.findings) print(output, finding);
    return exitCodeOf(examination.findings);
  },
});

async function examine(context: Context): Promise<Examination> {
  const { config, signal, now } = context;
  const findings: Finding[] = [];
  const examination = (diagnosis: Awaited<ReturnType<typeof fetchDiagnosis>>['diagnosis']): Examination => ({
    server_version: diagnosis?.server_version ?? null,
    findings: [
      ...findings.map((finding) => ({ ...finding, from: 'client' as const })),
      ...(diagnosis?.findings ?? []).map((finding) => ({ ...finding, from: 'server' as const })),
    ],
  });
  try {
    findings.push(...checkSettings(config));
    findings.push(...(await checkReach(config.url.value, { fetch: config.network.fetch, signal })));
    const token = checkToken(config.token, now());
    findings.push(...token.findings);
    if (findings.some(({ name, level }) => name === 'reach' && level === 'error')) return examination(null);
    const client = connect(context);
    findings.push(...(await checkReadiness(client, signal)));
    const { diagnosis, findings: more } = await fetchDiagnosis(client, signal);
    findings.push(...more);
    return examination(diagnosis);
  } catch (error) {
    if (error instanceof UsageError) findings.push(failed('settings', error.message, error.fix));
    else if (error instanceof BackhaulError) findings.push(failed('token', error.message, null));
    else throw error;
    return examination(null);
  }
}

function exitCodeOf(findings: readonly Opened<Finding>[]): number {
  const errors = findings.filter(({ level }) => level === 'error');
  if (errors.length === 0) return DONE;
  const away = errors.every(({ name }) => name === 'reach' || name.startsWith('ready'));
  return away ? exitCodes.temporary : exitCodes.fault;
}

const styles: ReadonlyMap<string, 'green' | 'cyan' | 'yellow' | 'red'> = new Map([
  ['ok', 'green'],
  ['info', 'cyan'],
  ['warning', 'yellow'],
  ['error', 'red'],
]);

function print(output: Output, { name, level, detail, fix }: Opened<Finding>): void {
  const word = printable(level).padEnd(7);
  const style = styles.get(level);
  const mark = style === undefined ? word : output.paint(style, word);
  output.line(`${mark}  ${printable(name)}: ${printable(detail)}`);
  if (fix !== null) output.line(`         → ${printable(fix)}`);
}
