import { isNameOf } from '@backhaul/protocol';
import type { Upload } from '../uploads/upload.ts';

/**
 * Describes the mismatch if an agent's file name differs from the requested one. Names come from the request; the
 * agent's name only shows whether it opened that file.
 */
export function requestedNameProblem({ filePath }: Upload, fileName: string): string | undefined {
  if (isNameOf(fileName, filePath)) return undefined;
  return `The agent was asked for ${JSON.stringify(filePath)} but sent a file named ${JSON.stringify(fileName.slice(0, 255))}.`;
}
