import { errorsDocument } from './errors-document.ts';
import type { GeneratedDocument } from './generated-document.ts';
import { openApiDocument } from './openapi-document.ts';
import { protocolDocument } from './protocol-document.ts';
import { settingsDocuments } from './settings-documents.ts';

/** Every generated document; `npm run docs` writes them, `npm run check` compares them. */
export const generatedDocuments: readonly GeneratedDocument[] = [
  protocolDocument,
  errorsDocument,
  openApiDocument,
  ...settingsDocuments,
];
