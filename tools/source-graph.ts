import { globSync, readFileSync } from 'node:fs';
import { join, posix } from 'node:path';

/** A source file of a package, other than a test. */
export interface Source {
  /** From the checkout's root. */
  readonly file: string;
  /** Folder of its package. */
  readonly package: string;
  readonly lines: number;
  readonly exports: number;
  /** Files of packages that it imports, by a relative path. */
  readonly imports: readonly string[];
  /** Those of `imports` that are more than types. */
  readonly loads: readonly string[];
  /** Sources that import it. */
  readonly importers: readonly string[];
  /** Whether an entry of its package reaches it. Otherwise only tests use it. */
  readonly isReached: boolean;
}

const imported =
  /\bfrom '(\.[^']+)'|\bimport\(\s*'(\.[^']+)'\s*\)|^import '(\.[^']+)'|\bnew URL\(\s*'([^']+)', import\.meta\.url/gm;

export function readSources(checkout: string): readonly Source[] {
  const all = globSync('packages/*/{src,bin}/**/*.{ts,js}', { cwd: checkout }).map((file) =>
    posix.normalize(file),
  );
  const files = all.filter((file) => !/\.test\.ts$|\.d\.ts$|^packages\/testing\//.test(file)).toSorted();
  const known = new Set(files);
  const texts = new Map(files.map((file) => [file, readFileSync(join(checkout, file), 'utf8')]));
  const imports = new Map(
    [...texts].map(([file, text]) => [file, importsOf(file, text).filter((path) => known.has(path))]),
  );
  const importers = new Map<string, string[]>();
  for (const [file, paths] of imports)
    for (const path of paths) importers.set(path, [...(importers.get(path) ?? []), file]);
  const reached = reach(entriesOf(checkout, known), imports);
  return files
    .filter((file) => file.includes('/src/'))
    .map((file) => {
      const text = texts.get(file) ?? '';
      return {
        file,
        package: file.split('/')[1] ?? '',
        lines: text.split('\n').length - 1,
        exports: exportsOf(text),
        imports: imports.get(file) ?? [],
        loads: importsOf(file, withoutTypeImports(text)).filter((path) => known.has(path)),
        importers: importers.get(file) ?? [],
        isReached: reached.has(file),
      };
    });
}

/** Groups of files that import one another, directly or not (Tarjan's strongly connected components). */
export function importCircles(
  sources: readonly Source[],
  by: 'imports' | 'loads',
): readonly (readonly string[])[] {
  const edges = new Map(sources.map((source) => [source.file, source[by]]));
  const order = new Map<string, number>();
  const lowest = new Map<string, number>();
  const open: string[] = [];
  const circles: string[][] = [];

  function visit(file: string): number {
    const index = order.size;
    order.set(file, index);
    lowest.set(file, index);
    open.push(file);
    for (const next of edges.get(file) ?? []) {
      const reachable = order.has(next)
        ? open.includes(next)
          ? (order.get(next) ?? index)
          : index
        : visit(next);
      lowest.set(file, Math.min(lowest.get(file) ?? index, reachable));
    }
    const low = lowest.get(file) ?? index;
    if (low === index) {
      const circle = open.splice(open.indexOf(file));
      if (circle.length > 1) circles.push(circle);
    }
    return low;
  }

  for (const { file } of sources) if (!order.has(file)) visit(file);
  return circles;
}

function importsOf(file: string, text: string): string[] {
  const paths = [...text.matchAll(imported)].map(
    (match) => match.slice(1).find((path) => path !== undefined) ?? '',
  );
  return [...new Set(paths.map((path) => posix.join(posix.dirname(file), path)))];
}

function withoutTypeImports(text: string): string {
  return text
    .replaceAll(/^(?:import|export) type [^;]*;/gm, '')
    .replaceAll(/^import \{(?:\s*type \w+,?)+\s*\} from [^;]*;/gm, '');
}

/** Counts declarations, and names of `export { … }`; `export *` counts as one. */
function exportsOf(text: string): number {
  const lists = [...text.matchAll(/^export (?:type )?\{([^}]*)\}/gm)];
  const listed = lists.flatMap(([, names = '']) => names.split(',').filter((name) => name.trim() !== ''));
  return (text.match(/^export (?!type \{|\{)/gm) ?? []).length + listed.length;
}

/** Files that the packages' manifests name as programs, exports or imports. */
function entriesOf(checkout: string, known: ReadonlySet<string>): readonly string[] {
  return globSync('packages/*/package.json', { cwd: checkout }).flatMap((manifest) => {
    const folder = posix.dirname(posix.normalize(manifest));
    const { bin, exports, imports } = JSON.parse(readFileSync(join(checkout, manifest), 'utf8')) as Record<
      string,
      unknown
    >;
    const targets = JSON.stringify([bin, exports, imports]).match(/\.\/[^"]+/g) ?? [];
    return targets.map((target) => posix.join(folder, target)).filter((file) => known.has(file));
  });
}

function reach(
  entries: readonly string[],
  imports: ReadonlyMap<string, readonly string[]>,
): ReadonlySet<string> {
  const reached = new Set(entries);
  for (const file of reached) for (const next of imports.get(file) ?? []) reached.add(next);
  return reached;
}
