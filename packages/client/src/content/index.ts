export { crc32Digest, sha256Digest } from './digest.ts';
export { asOutputError, OutputError } from './output-error.ts';
export {
  copyContent,
  type CopyContentOptions,
  readContent,
  saveContent,
  type SaveContentOptions,
  type SavedContent,
} from './save-content.ts';
