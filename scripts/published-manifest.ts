import { z } from 'zod';

/** The fields of a workspace's package.json that the build knows. An unknown one stops it, to be thought about. */
export const manifestSchema = z.strictObject({
  name: z.string(),
  version: z.string(),
  private: z.boolean().optional(),
  description: z.string(),
  license: z.string(),
  type: z.literal('module'),
  bin: z.record(z.string(), z.string()).optional(),
  exports: z.record(z.string(), z.string()).optional(),
  imports: z.record(z.string(), z.union([z.string(), z.record(z.string(), z.string())])).optional(),
  dependencies: z.record(z.string(), z.string()).optional(),
  devDependencies: z.record(z.string(), z.string()).optional(),
  engines: z.record(z.string(), z.string()).optional(),
});
export type Manifest = z.infer<typeof manifestSchema>;

/** A path below `src/` as it is compiled; undefined for any other. */
export function compiledPath(source: string, extension: '.js' | '.d.ts'): string | undefined {
  const match = /^\.\/src\/(.+)\.ts$/.exec(source);
  return match === null ? undefined : `./dist/${match[1]}${extension}`;
}

/**
 * The package.json of what is published: compiled code instead of sources, no development dependencies, and the
 * versions that the workspaces have now. Exports that are neither sources nor programs (test data) are left out.
 *
 * @param versions Of the workspaces, by name.
 */
export function publishedManifest(manifest: Manifest, versions: ReadonlyMap<string, string>): object {
  const {
    devDependencies: _development,
    private: _private,
    exports,
    imports,
    dependencies,
    ...rest
  } = manifest;
  return {
    ...rest,
    files: ['bin', 'dist'],
    ...(exports && { exports: mapTargets(exports, exportTarget) }),
    ...(imports && { imports: mapTargets(imports, importTarget) }),
    ...(dependencies && {
      dependencies: Object.fromEntries(
        Object.entries(dependencies).map(([name, range]) => [name, versions.get(name) ?? range]),
      ),
    }),
  };
}

/** Beside a bundle: the licences of what is in it. */
export const NOTICES_FILE = 'THIRD-PARTY-NOTICES.txt';

/** The package.json of a program in one file: it depends on nothing, and nothing can be imported from it. */
export function bundledManifest(manifest: Manifest): object {
  const { dependencies: _inside, exports: _modules, ...program } = manifest;
  const published = publishedManifest(program, new Map());
  return { ...published, files: ['bin', 'dist', NOTICES_FILE] };
}

function exportTarget(target: string): string | object | undefined {
  if (target.startsWith('./bin/')) return target;
  const code = compiledPath(target, '.js');
  // Conditions are tried in order, so `types` comes first.
  return code === undefined ? undefined : { types: compiledPath(target, '.d.ts'), default: code };
}

function importTarget(target: string | Record<string, string>): string | object | undefined {
  return typeof target === 'string' ? compiledPath(target, '.js') : mapTargets(target, importTarget);
}

function mapTargets<T>(
  targets: Readonly<Record<string, T>>,
  map: (target: T) => string | object | undefined,
): object {
  return Object.fromEntries(
    Object.entries(targets).flatMap(([name, target]) => {
      const mapped = map(target);
      return mapped === undefined ? [] : [[name, mapped]];
    }),
  );
}
