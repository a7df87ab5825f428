import type { CheckName } from './check-steps.ts';

/** A mistake that a check has to report. */
export interface Violation {
  readonly step: CheckName;
  /** File to write, or to append to if it exists. */
  readonly path: string;
  readonly text: string;
  /** Text of the check's report, in the line that has the path. */
  readonly message: string;
}

const noImport = 'no-restricted-imports';
let planted = 0;

function forbiddenImport(folder: string, specifier: string, message = noImport): Violation {
  planted += 1;
  const text = `import * as planted from '${specifier}';\n\nconsole.log(planted);\n`;
  return { step: 'lint', path: `${folder}/planted-${planted}.ts`, text, message };
}

/** A checker that checks nothing reports nothing, and exits with 0. So each has to report these. */
export const violations: readonly Violation[] = [
  {
    step: 'format',
    path: 'packages/protocol/src/planted-format.ts',
    text: 'export  const a  = "b"',
    message: '',
  },

  forbiddenImport('packages/protocol/src', 'node:fs'),
  forbiddenImport('packages/protocol/src', '@backhaul/client'),
  forbiddenImport('packages/client/src', '../../../test/harness/stage.ts'),
  forbiddenImport('packages/client/src', 'zod'),
  forbiddenImport('packages/program/src', '@backhaul/protocol'),
  forbiddenImport('packages/agent/src', 'backhaul-server'),
  forbiddenImport('packages/agent/src', '../../server/src/config/config.ts'),
  forbiddenImport('packages/cli/src', '../../client/src/index.ts'),
  forbiddenImport('packages/client/src', '../../protocol/src/index.ts'),
  forbiddenImport('packages/protocol/src/rest', '../../../client/src/index.ts'),
  forbiddenImport('packages/agent/src/transfer', '@aws-sdk/client-s3'),
  forbiddenImport('packages/cli/src', 'backhaul-agent'),
  forbiddenImport('packages/cli/src', '../../../test/harness/stage.ts'),
  forbiddenImport('packages/object-store/src', '@backhaul/protocol'),
  forbiddenImport('packages/server/src', '@backhaul/client'),
  forbiddenImport('packages/server/src', '../../../test/harness/stage.ts'),
  forbiddenImport('packages/server/src/domain/uploads', '../../../../../test/harness/stage.ts'),
  forbiddenImport('packages/server/src/http', '../../../../bench/main.ts'),
  forbiddenImport('packages/protocol/src', '../../../test/harness/stage.ts'),
  forbiddenImport('packages/program/src', '../../../demo/main.ts'),
  forbiddenImport('packages/agent/src/transfer', '../../../../test/harness/stage.ts'),
  forbiddenImport('packages/object-store/src', '../../../test/harness/stage.ts'),
  forbiddenImport('packages/server/src/domain', 'fastify'),
  forbiddenImport('packages/server/src/domain/uploads', 'node:fs/promises'),
  forbiddenImport('packages/server/src/domain/uploads', '../../http/problem.ts'),
  forbiddenImport('packages/server/src/domain/uploads', '../../store/schema.ts'),
  forbiddenImport('packages/server/src/domain', 'backhaul-agent'),
  forbiddenImport('packages/server/src/http/routes', '../../store/schema.ts'),
  forbiddenImport('packages/server/src/websocket', '../s3/retry.ts'),
  forbiddenImport('packages/server/src/websocket', '@aws-sdk/client-s3'),
  {
    step: 'lint',
    path: 'packages/agent/src/planted.test.ts',
    text: "import * as planted from 'backhaul-server';\n\nconsole.log(planted);\n",
    message: noImport,
  },
  {
    step: 'lint',
    path: 'packages/client/src/planted-cycle.ts',
    text: "import { b } from './planted-cycle-back.ts';\n\nexport const a = (): number => b();\n",
    message: 'no-cycle',
  },
  {
    step: 'lint',
    path: 'packages/client/src/planted-cycle-back.ts',
    text: "import { a } from './planted-cycle.ts';\n\nexport const b = (): number => a();\n",
    message: 'no-cycle',
  },
  {
    step: 'lint',
    path: 'packages/server/src/planted-floating.ts',
    text: 'async function late(): Promise<void> {\n  await Promise.resolve();\n}\n\nlate();\n',
    message: 'no-floating-promises',
  },
  {
    step: 'lint',
    path: 'packages/agent/src/planted-environment.ts',
    text: "console.log(process.env['HOME']);\n",
    message: 'no-process-env',
  },

  {
    step: 'types',
    path: 'packages/cli/src/planted-type.ts',
    text: "export const count: number = 'one';\n",
    message: 'TS2322',
  },
  {
    step: 'types',
    path: 'packages/cli/src/planted-enum.ts',
    text: 'export enum Planted {\n  One,\n}\n',
    message: 'TS1294',
  },

  {
    step: 'dead code',
    path: 'packages/agent/src/backoff.ts',
    text: '\nexport function plantedExport(): number {\n  return 1;\n}\n',
    message: 'plantedExport',
  },
  {
    step: 'dead code',
    path: 'packages/object-store/src/planted-file.ts',
    text: 'export const planted = 1;\n',
    message: '',
  },

  {
    step: 'documents',
    path: 'docs/errors.md',
    text: 'A code that does not exist.\n',
    message: 'stale',
  },
  {
    step: 'documents',
    path: 'docs/benchmarks.md',
    text: 'A figure without a measurement.\n',
    message: 'stale',
  },
  {
    step: 'documents',
    path: 'docs/benchmarks/planted.svg',
    text: '<svg/>\n',
    message: 'stale',
  },

  {
    step: 'api',
    path: 'docs/openapi.json',
    text: '{}\n',
    message: 'Failed to parse',
  },
];
