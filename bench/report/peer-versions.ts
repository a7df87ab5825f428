import { readFile } from 'node:fs/promises';
import { findPackageJSON } from 'node:module';
import { z } from 'zod';
import { outputOf } from './output-of.ts';

/** Programs that experiments may compare with: how to query their version and where the output has it. */
const programs = [
  { name: 'aws', args: ['--version'], version: /^aws-cli\/(\S+)/ },
  { name: 'rclone', args: ['version'], version: /^rclone v?(\S+)/ },
  { name: 'curl', args: ['--version'], version: /^curl (\S+)/ },
] as const;

const libraries = ['@aws-sdk/lib-storage', '@aws-sdk/s3-request-presigner'];

/** Returns versions of installed programs by name. @param options `env` contains the PATH to search. */
export async function peerVersions(options: {
  env: NodeJS.ProcessEnv;
  signal: AbortSignal;
}): Promise<Record<string, string>> {
  const found = await Promise.all([
    ...programs.map(async ({ name, args, version }) => {
      const answer = await outputOf(name, args, options);
      return [name, version.exec(answer ?? '')?.[1]] as const;
    }),
    ...libraries.map(async (name) => [name, await libraryVersion(name)] as const),
  ]);
  return Object.fromEntries(found.flatMap(([name, version]) => (version ? [[name, version]] : [])));
}

async function libraryVersion(name: string): Promise<string | undefined> {
  let file: string | undefined;
  try {
    file = findPackageJSON(name, import.meta.url);
  } catch {
    return undefined;
  }
  if (file === undefined) return undefined;
  return z.object({ version: z.string() }).parse(JSON.parse(await readFile(file, 'utf8'))).version;
}
