import { rm } from 'node:fs/promises';
import { type DevFile, devFileSchema } from '@backhaul/protocol/dev-file';
import { readFileIfAny, writePrivateFile } from './private-file.ts';

/** The file by which the command line and agents started in this directory find the server. */
export async function writeDevFile(path: string, content: DevFile): Promise<void> {
  await writePrivateFile(path, `${JSON.stringify(devFileSchema.parse(content), null, 2)}\n`);
}

/** Does not remove another server's file or one that is no dev file. */
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
