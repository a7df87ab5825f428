import { buildOpenApi } from '../../packages/server/src/http/http-server.ts';
import type { GeneratedDocument } from './generated-document.ts';

/** The description of the REST API, generated from the server's routes. */
export const openApiDocument: GeneratedDocument = {
  path: 'docs/openapi.json',
  generate: async () => `${JSON.stringify(await buildOpenApi(), null, 2)}\n`,
};
