import { configurationPage, envExample } from '../../packages/server/src/config/render-settings.ts';
import type { GeneratedDocument } from './generated-document.ts';

/** Both documents come from the server's table of settings. */
export const settingsDocuments: readonly GeneratedDocument[] = [
  { path: 'docs/configuration.md', generate: async () => configurationPage() },
  { path: '.env.example', generate: async () => envExample() },
];
