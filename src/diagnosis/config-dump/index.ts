// SPDX-License-Identifier: Apache-2.0
export { ConfigDumpError } from "./config-dump-error.ts";
export type { DumpSource } from "./dump-source.ts";
export { openFile } from "./open-file.ts";
export type { Filters } from "./listing.ts";
export { type AdminTarget, openAddress, openAdmin, type OpenOptions } from "./open-source.ts";
export { compareSections, type ConfigReport, listSections } from "./run-config.ts";
export { findSections, type SectionName, sectionNames, sections } from "./sections.ts";
