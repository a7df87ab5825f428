import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { benchmarkDocuments } from './benchmarks/benchmark-documents.ts';
import { errorsDocument } from './errors-document.ts';
import type { GeneratedDocument } from './generated-document.ts';
import { openApiDocument } from './openapi-document.ts';
import { protocolDocument } from './protocol-document.ts';
import { settingsDocuments } from './settings-documents.ts';

const benchmarks = join(import.meta.dirname, '../../docs/benchmarks');

/** All generated documents; `npm run docs` writes them, `npm run check` compares them. */
export const generatedDocuments: readonly GeneratedDocument[] = [
  protocolDocument,
  errorsDocument,
  openApiDocument,
  ...settingsDocuments,
  ...(await benchmarkDocuments({
    resultsFile: join(benchmarks, 'results.json'),
    hasTried: existsSync(join(benchmarks, 'tried.md')),
  })),
];
