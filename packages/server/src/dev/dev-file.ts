import { rm } from 'node:fs/promises';
import { type DevFile, devFileSchema } from '@backhaul/protocol';
import { readFileIfAny, writePrivateFile } from './private-file.ts';

/** Command line and agents that are started in this directory find the server by it. */
export async function writeDevFile(path: string, content: DevFile): Promise<void> {
  await writePrivateFile(path, `${JSON.stringify(devFileSchema.parse(content), null, 2)}\n`);
}

/** Leaves the file of another server alone, or one that is no dev file at all. */
export async function removeDevFile(path: string, own: DevFile): Promise<void> {
  const found = readDevFile(await readFileIfAny(path));
  if (found?.pid === own.pid && found.operator_token === own.operator_token) await rm(path, { force: true });
}

function readDevFile(text: string | undefined): DevFile | undefined {
  if (text === undefined) return undefined;
  try {
    return devFileSchema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}
