// SPDX-License-Identifier: Apache-2.0
// The checks of this module that commands use.
export { findPath } from "./certification-path.ts";
export { ResponseError } from "./errors.ts";
export { isSelfSigned, type ReadCertificate, readCertificate } from "./read-certificate.ts";
