import { isNameOf } from '@backhaul/protocol';
import type { Upload } from '../uploads/upload.ts';

/**
 * What is wrong with the name that an agent gives to the file it was asked for. Names are made from the request; the
 * agent's only shows whether it opened that file.
 */
export function requestedNameProblem({ filePath }: Upload, fileName: string): string | undefined {
  if (isNameOf(fileName, filePath)) return undefined;
  return `The agent was asked for ${JSON.stringify(filePath)} and answered with a file named ${JSON.stringify(fileName.slice(0, 255))}.`;
}
