import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { buildPrograms } from '../build-programs.ts';
import { plainNpm } from './plain-npm.ts';

/** Tarball that `npm publish` would send for one package. */
export interface Tarball {
  /** Name of the package, e.g. `backhaul-agent`. */
  readonly name: string;
  readonly version: string;
  /** Absolute path. */
  readonly file: string;
  readonly files: readonly { readonly path: string; readonly mode: number }[];
}

const STAGED = fileURLToPath(new URL('../../../dist/packages', import.meta.url));

const packedSchema = z.object({
  name: z.string(),
  version: z.string(),
  filename: z.string(),
  files: z.array(z.object({ path: z.string(), mode: z.int() })),
});
// npm 11 prints a list, npm 12 an object by name.
const packedAllSchema = z.union([z.array(packedSchema), z.record(z.string(), packedSchema)]);

/**
 * Compiles all packages (`npm run build`) and packs them.
 *
 * @param directory Output directory of the tarballs.
 * @returns The tarballs by package name.
 */
export async function packPackages(
  directory: string,
  { signal }: { signal: AbortSignal },
): Promise<ReadonlyMap<string, Tarball>> {
  await buildPrograms({ signal });
  const folders = (await readdir(STAGED)).toSorted();
  const args = folders.map((folder) => path.join(STAGED, folder));
  const answer = await plainNpm('npm', ['pack', '--json', '--pack-destination', directory, ...args], {
    cwd: directory,
  });
  const packed = Object.values(packedAllSchema.parse(JSON.parse(answer)));
  return new Map(
    packed.map(({ name, version, filename, files }) => [
      name,
      { name, version, files, file: path.join(directory, filename) },
    ]),
  );
}
