import { dirname } from 'node:path/posix';
import type { MountFinder } from './platform.ts';

/** @param table In the format of `/proc/self/mountinfo` (proc_pid_mountinfo(5)). */
export function mountFinder(table: string): MountFinder {
  const ids = new Map<string, string>();
  for (const line of table.split('\n')) {
    const [id, , , , point] = line.split(' ');
    // Of several mounts at one point, the last one is visible.
    if (id !== undefined && point !== undefined) ids.set(unescape(point), id);
  }
  return (path) => {
    for (let point = path; ; point = dirname(point)) {
      const id = ids.get(point);
      if (id !== undefined || point === '/' || point === '.') return { key: `${id ?? ''} ${point}`, point };
    }
  };
}

/** For systems without a mount table: identifies a file system by the first two names of a path, such as `/Volumes/share`. */
export function mountByName(path: string): ReturnType<MountFinder> {
  const point = path.split('/').slice(0, 3).join('/');
  return { key: point, point };
}

/** Space, tab, line feed and backslash are octal escapes. */
function unescape(point: string): string {
  return point.replaceAll(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
}
