import type { CheckName } from './check-steps.ts';

/** A mistake that a check has to find. */
export interface Violation {
  readonly step: CheckName;
  /** The file that is written, or appended to if it exists. */
  readonly path: string;
  readonly text: string;
  /** What the check says about it, in one line together with the path. */
  readonly finding: string;
}

const noImport = 'no-restricted-imports';
let planted = 0;

function forbiddenImport(folder: string, specifier: string, finding = noImport): Violation {
  planted += 1;
  const text = `import * as planted from '${specifier}';\n\nconsole.log(planted);\n`;
  return { step: 'lint', path: `${folder}/planted-${planted}.ts`, text, finding };
}

/** A checker that looks at nothing finds nothing, and exits 0. So each has to find these. */
export const violations: readonly Violation[] = [
  {
    step: 'format',
    path: 'packages/protocol/src/planted-format.ts',
    text: 'export  const a  = "b"',
    finding: '',
  },

  forbiddenImport('packages/protocol/src', 'node:fs'),
  forbiddenImport('packages/protocol/src', '@backhaul/client'),
  forbiddenImport('packages/client/src', '@backhaul/testing'),
  forbiddenImport('packages/client/src', 'zod'),
  forbiddenImport('packages/program/src', '@backhaul/protocol'),
  forbiddenImport('packages/agent/src', 'backhaul-server'),
  forbiddenImport('packages/agent/src', '../../server/src/config.ts'),
  forbiddenImport('packages/cli/src', '../../client/src/index.ts'),
  forbiddenImport('packages/client/src', '../../protocol/src/index.ts'),
  forbiddenImport('packages/protocol/src/rest', '../../../client/src/index.ts'),
  forbiddenImport('packages/agent/src/transfer', '@aws-sdk/client-s3'),
  forbiddenImport('packages/cli/src', 'backhaul-agent'),
  forbiddenImport('packages/cli/src', '@backhaul/testing'),
  forbiddenImport('packages/object-store/src', '@backhaul/protocol'),
  forbiddenImport('packages/server/src', '@backhaul/client'),
  forbiddenImport('packages/server/src', '@backhaul/testing'),
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
    finding: noImport,
  },
  {
    step: 'lint',
    path: 'packages/client/src/planted-cycle.ts',
    text: "import { b } from './planted-cycle-back.ts';\n\nexport const a = (): number => b();\n",
    finding: 'no-cycle',
  },
  {
    step: 'lint',
    path: 'packages/client/src/planted-cycle-back.ts',
    text: "import { a } from './planted-cycle.ts';\n\nexport const b = (): number => a();\n",
    finding: 'no-cycle',
  },
  {
    step: 'lint',
    path: 'packages/server/src/planted-floating.ts',
    text: 'async function late(): Promise<void> {\n  await Promise.resolve();\n}\n\nlate();\n',
    finding: 'no-floating-promises',
  },
  {
    step: 'lint',
    path: 'packages/agent/src/planted-environment.ts',
    text: "console.log(process.env['HOME']);\n",
    finding: 'no-process-env',
  },

  {
    step: 'types',
    path: 'packages/cli/src/planted-type.ts',
    text: "export const count: number = 'one';\n",
    finding: 'TS2322',
  },
  {
    step: 'types',
    path: 'packages/cli/src/planted-enum.ts',
    text: 'export enum Planted {\n  One,\n}\n',
    finding: 'TS1294',
  },

  {
    step: 'dead code',
    path: 'packages/agent/src/backoff.ts',
    text: '\nexport function plantedExport(): number {\n  return 1;\n}\n',
    finding: 'plantedExport',
  },
  {
    step: 'dead code',
    path: 'packages/object-store/src/planted-file.ts',
    text: 'export const planted = 1;\n',
    finding: '',
  },

  {
    step: 'documents',
    path: 'docs/errors.md',
    text: 'A code that does not exist.\n',
    finding: 'stale',
  },
  {
    step: 'documents',
    path: 'docs/benchmarks.md',
    text: 'A figure that nobody measured.\n',
    finding: 'stale',
  },
  {
    step: 'documents',
    path: 'docs/benchmarks/planted.svg',
    text: '<svg/>\n',
    finding: 'stale',
  },

  {
    step: 'api',
    path: 'docs/openapi.json',
    text: '{}\n',
    finding: 'Failed to parse',
  },
];
