import type { HashedFile } from '../../../packages/agent/src/file/hashers.ts';

/** The same file with some of its members replaced, and without the check for changes. */
export function replaceInFile(file: HashedFile, replaced: Partial<HashedFile>): HashedFile {
  return {
    fd: file.fd,
    normalizedPath: file.normalizedPath,
    sizeBytes: file.sizeBytes,
    readFully: (buffer, offset) => file.readFully(buffer, offset),
    assertUnchanged: () => file.assertUnchanged(),
    requireUnchanged: () => {},
    readFailed: (error) => file.readFailed(error),
    endedEarly: () => file.endedEarly(),
    contentChanged: () => file.contentChanged(),
    keepOpen: (done) => file.keepOpen(done),
    reportHanging: (done) => file.reportHanging(done),
    ...replaced,
  };
}
