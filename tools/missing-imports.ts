import { access, readdir, readFile } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';

/** Relative path of an import, an export or a dynamic import. */
const relativeImport = /\b(?:from|import)\s*\(?\s*['"](\.{1,2}\/[^'"]+)['"]/g;

/** @returns Missing files that compiled code below a folder imports, as paths from the folder. */
export async function missingImports(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const imported = new Set<string>();
  for (const { name, parentPath } of entries.filter((entry) => entry.name.endsWith('.js'))) {
    const text = await readFile(join(parentPath, name), 'utf8');
    for (const [, path = ''] of text.matchAll(relativeImport)) imported.add(resolve(parentPath, path));
  }
  const found = await Promise.all([...imported].map(async (file) => ((await exists(file)) ? [] : [file])));
  return found.flat().map((file) => relative(folder, file));
}

async function exists(file: string): Promise<boolean> {
  return await access(file).then(
    () => true,
    () => false,
  );
}
