/** Device names are reserved in every directory, with any extension (Microsoft, "Naming Files, Paths, and Namespaces"). */
const reservedName = /^(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)(?:\..*)?$/i;
/** A drive, or a share with its server. */
const windowsRoot = /^(?:[a-z]:[\\/]|\\\\[^\\/]+[\\/]+[^\\/]+(?:[\\/]+|$))/i;

/** Why no file on Windows can have this path, or null. */
export function windowsPathProblem(path: string): string | null {
  const root = windowsRoot.exec(path)?.[0];
  if (root === undefined) return 'the path needs a drive letter or a share, such as C:\\data\\report.bin';
  for (const name of path.slice(root.length).split(/[\\/]/)) {
    if (reservedName.test(name)) return `Windows reserves the name ${name}`;
    // "file.txt:stream" would read a hidden second content of an allowed name.
    if (/[:*?"<>|]/.test(name)) return 'Windows names cannot contain : * ? " < > |';
    if (/[. ]$/.test(name) && name !== '.' && name !== '..') {
      return 'Windows drops a dot or space at the end of a name';
    }
  }
  return null;
}

/**
 * Why no agent can have a file of this path, in a sentence, or null: what can be said while its machine is away.
 *
 * @param os As `process.platform` spells it.
 */
export function pathProblem(path: string, os: string): string | null {
  if (os === 'win32') {
    const problem = windowsPathProblem(path);
    return problem === null ? null : `No file on a Windows machine has this path: ${problem}.`;
  }
  if (path.startsWith('/')) return null;
  const example = 'Give the whole path, such as /data/report.bin.';
  if (path.startsWith('~'))
    return `Agents know no ~, which is a shell's word for a home directory. ${example}`;
  if (windowsRoot.test(path)) return `This is a path of Windows, and the machine runs ${os}. ${example}`;
  return `The path is relative, and an agent has no directory that it could be relative to. ${example}`;
}
