import { posix } from 'node:path';

/** Same as the kernel's limit. */
const MAX_LINKS = 40;

/**
 * Resolves the links of a path one by one, so that each is read by a path without links. Missing or unreadable components
 * stay unchanged: the following call reports the error.
 *
 * @param readlink Receives an absolute path.
 * @throws Errors of `readlink` other than those of the operating system.
 */
export async function followLinks(
  path: string,
  readlink: (path: string) => Promise<string>,
): Promise<string> {
  let done = '/';
  let todo = path.split('/');
  for (let links = 0; todo.length > 0;) {
    const [name = '', ...rest] = todo;
    todo = rest;
    if (name === '' || name === '.') continue;
    const next = posix.join(done, name);
    const target = name === '..' ? null : await readlink(next).catch(nullIfErrno);
    if (target === null) {
      done = next;
      continue;
    }
    links += 1;
    if (links > MAX_LINKS) return posix.join(next, ...todo);
    if (target.startsWith('/')) done = '/';
    todo = [...target.split('/'), ...todo];
  }
  return done;
}

/** For example EINVAL: not a link. */
function nullIfErrno(error: unknown): null {
  if (error instanceof Error && 'errno' in error) return null;
  throw error;
}
