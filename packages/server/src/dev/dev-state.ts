import { randomBytes } from 'node:crypto';
import { MIN_JWT_SECRET_BYTES } from '@backhaul/protocol';
import { z } from 'zod';
import { ConfigError } from '../config/config-error.ts';
import { readFileIfAny, writePrivateFile } from './private-file.ts';

export const STATE_FILE = 'state.json';

const devStateSchema = z.strictObject({
  jwt_secret: z.string().min(MIN_JWT_SECRET_BYTES),
  store_access_key: z.string().min(1),
  store_secret_key: z.string().min(1),
  /** Last port of the object store; earlier presigned URLs stay valid if it listens there again. */
  store_port: z.int().min(0).max(65_535),
});

/** State that survives a restart in dev mode, so that tokens and URLs stay valid. */
export type DevState = z.infer<typeof devStateSchema>;

/** Reads the state, or creates one with new secrets. @throws ConfigError if the file is damaged. */
export async function loadDevState(path: string): Promise<DevState> {
  const text = await readFileIfAny(path);
  if (text !== undefined) return parseState(path, text);
  const state = {
    jwt_secret: randomBytes(48).toString('base64url'),
    store_access_key: `BACKHAUL${randomBytes(6).toString('hex').toUpperCase()}`,
    store_secret_key: randomBytes(30).toString('base64url'),
    store_port: 0,
  };
  await saveDevState(path, state);
  return state;
}

export async function saveDevState(path: string, state: DevState): Promise<void> {
  await writePrivateFile(path, `${JSON.stringify(state, null, 2)}\n`);
}

function parseState(path: string, text: string): DevState {
  try {
    return devStateSchema.parse(JSON.parse(text));
  } catch {
    // Omits the parser's message, which would quote the secrets.
    const message = `--dev stores its secrets in ${path}, which is damaged. Remove that file to create new ones; existing tokens become invalid.`;
    throw new ConfigError([{ setting: '--dev', message }]);
  }
}
