import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

/** One step of `npm run check`. */
export interface CheckStep {
  readonly name: string;
  /** Printed when the step fails. */
  readonly advice: string;
  /** Arguments of Node.js; paths are relative to the root of the checkout that is checked. */
  readonly command: readonly [string, ...string[]];
}

const tool = (path: string) => join('node_modules', path);

export const checkSteps = [
  {
    name: 'format',
    advice: 'npm run format fixes this',
    command: [tool('oxfmt/bin/oxfmt'), '--check'],
  },
  {
    name: 'lint',
    advice: 'the rules, including import directions, are in .oxlintrc.json',
    command: [tool('oxlint/bin/oxlint'), '--type-aware', '--deny-warnings'],
  },
  {
    name: 'types',
    advice: 'tsc -p .',
    command: [tool('typescript/bin/tsc'), '-p', '.'],
  },
  {
    name: 'dead code',
    advice: 'knip.jsonc lists the entry points; code that they do not reach is dead',
    command: [tool('knip/bin/knip.js'), '--no-progress', '--no-config-hints'],
  },
  {
    name: 'documents',
    advice: 'npm run docs fixes this',
    command: ['tools/generate-docs.ts', '--check'],
  },
  {
    name: 'api',
    advice: 'checks the API description in packages/server/src/http/ with the rules of redocly.yaml',
    command: [tool('@redocly/cli/bin/cli.js'), 'lint', 'docs/openapi.json', '--config', 'redocly.yaml'],
  },
] as const satisfies readonly CheckStep[];

export type CheckName = (typeof checkSteps)[number]['name'];

export interface CheckResult {
  readonly passed: boolean;
  readonly durationMs: number;
  /** Output of the tool, both streams. */
  readonly output: string;
}

/** Runs one step on the checkout at `root`. */
export async function runCheck(step: CheckStep, root: string): Promise<CheckResult> {
  const startedAt = performance.now();
  const child = spawn(process.execPath, step.command, {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
    // Redocly's linter would look up its newest version and send telemetry.
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
