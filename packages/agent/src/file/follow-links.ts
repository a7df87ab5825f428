import { posix } from 'node:path';

/** As the kernel's limit. */
const MAX_LINKS = 40;

/**
 * Resolves the links of a path one by one, so that each is asked for by a path without links. What is missing or may
 * not be seen stays as it is: the call that follows will say so.
 *
 * @param readlink Of an absolute path.
 * @throws What `readlink` throws that is no error of the operating system.
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

/** EINVAL: it is no link. */
function nullIfErrno(error: unknown): null {
  if (error instanceof Error && 'errno' in error) return null;
  throw error;
}
