import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

/** One thing that `npm run check` finds out. */
export interface CheckStep {
  readonly name: string;
  /** What it is for, when it fails. */
  readonly advice: string;
  /** Arguments of Node.js; paths are relative to the root of the checkout that is checked. */
  readonly command: readonly [string, ...string[]];
}

const tool = (path: string) => join('node_modules', path);

export const checkSteps = [
  {
    name: 'format',
    advice: 'npm run format mends this',
    command: [tool('oxfmt/bin/oxfmt'), '--check'],
  },
  {
    name: 'lint',
    advice: '.oxlintrc.json has the rules, import directions among them',
    command: [tool('oxlint/bin/oxlint'), '--type-aware', '--deny-warnings'],
  },
  {
    name: 'types',
    advice: 'tsc -p .',
    command: [tool('typescript/bin/tsc'), '-p', '.'],
  },
  {
    name: 'dead code',
    advice: 'knip.jsonc says where programs begin; what is not reached from there is dead',
    command: [tool('knip/bin/knip.js'), '--no-progress', '--no-config-hints'],
  },
  {
    name: 'documents',
    advice: 'npm run docs mends this',
    command: ['scripts/generate-docs.ts', '--check'],
  },
  {
    name: 'api',
    advice: 'the description in packages/server/src/http/, by the rules of redocly.yaml',
    command: [tool('@redocly/cli/bin/cli.js'), 'lint', 'docs/openapi.json', '--config', 'redocly.yaml'],
  },
] as const satisfies readonly CheckStep[];

export type CheckName = (typeof checkSteps)[number]['name'];

export interface CheckResult {
  readonly passed: boolean;
  readonly durationMs: number;
  /** What the tool said, both streams. */
  readonly output: string;
}

/** Runs one step on the checkout at `root`. */
export async function runCheck(step: CheckStep, root: string): Promise<CheckResult> {
  const startedAt = performance.now();
  const child = spawn(process.execPath, step.command, {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
    // Redocly's linter would ask for its newest version and report its use.
    env: { ...process.env, REDOCLY_TELEMETRY: 'off', REDOCLY_SUPPRESS_UPDATE_NOTICE: 'true' },
  });
  const chunks: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => chunks.push(chunk));
  const [code] = (await once(child, 'close')) as [number | null];
  return {
    passed: code === 0,
    durationMs: performance.now() - startedAt,
    output: Buffer.concat(chunks).toString('utf8').trim(),
  };
}
