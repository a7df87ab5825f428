/** Device names are reserved in every directory, with any extension (Microsoft, "Naming Files, Paths, and Namespaces"). */
const reservedName = /^(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)(?:\..*)?$/i;
/** A drive, or a server and share. */
const windowsRoot = /^(?:[a-z]:[\\/]|\\\\[^\\/]+[\\/]+[^\\/]+(?:[\\/]+|$))/i;

/** Returns why no file on Windows can have this path, or null. */
export function windowsPathProblem(path: string): string | null {
  const root = windowsRoot.exec(path)?.[0];
  if (root === undefined) return 'the path has no drive letter or share, such as in C:\\data\\report.bin';
  for (const name of path.slice(root.length).split(/[\\/]/)) {
    if (reservedName.test(name)) return `Windows reserves the name ${name}`;
    // "file.txt:stream" would read an alternate data stream of an allowed file.
    if (/[:*?"<>|]/.test(name)) return 'Windows names cannot contain : * ? " < > |';
    if (/[. ]$/.test(name) && name !== '.' && name !== '..') {
      return 'Windows drops a dot or space at the end of a name';
    }
  }
  return null;
}

/**
 * Returns why the agent cannot have a file with this path, as a sentence, or null. Can be checked while the agent is
 * disconnected.
 *
 * @param os Value of `process.platform`.
 */
export function pathProblem(path: string, os: string): string | null {
  if (os === 'win32') {
    const problem = windowsPathProblem(path);
    return problem === null ? null : `No file on a Windows machine has this path: ${problem}.`;
  }
  if (path.startsWith('/')) return null;
  const example = 'Use an absolute path, such as /data/report.bin.';
  if (path.startsWith('~')) return `Agents do not expand ~, which only shells do. ${example}`;
  if (windowsRoot.test(path)) return `This is a Windows path, but the machine runs ${os}. ${example}`;
  return `The path is relative, but agents have no base directory. ${example}`;
}
