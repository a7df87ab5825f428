import { buildOpenApi } from '../../packages/server/src/http/openapi.ts';
import type { GeneratedDocument } from './generated-document.ts';

/** The description of the REST API, from the server's own routes. */
export const openApiDocument: GeneratedDocument = {
  path: 'docs/openapi.json',
  generate: async () => `${JSON.stringify(await buildOpenApi(), null, 2)}\n`,
};
