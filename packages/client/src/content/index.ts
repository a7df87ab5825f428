export { crc32Digest, sha256Digest } from './content-check.ts';
export { asOutputError, OutputError } from './output-file.ts';
export {
  copyContent,
  type CopyContentOptions,
  readContent,
  saveContent,
  type SaveContentOptions,
  type SavedContent,
} from './save-content.ts';
