/* Bare C with OpenSSL, one line "RESULT <number>", per second of CPU.
 *
 *   digest sha256      million digests of 16 bytes, as hexadecimal digits
 *   digest encode      GB of bytes as base64 by EVP_EncodeBlock, 1 MiB at a time
 *   digest decode      GB of bytes from base64 by EVP_DecodeBlock */
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MIB = 1024 * 1024, TEXT = MIB / 3 * 4 + 4, STEPS = 100000 };

static double cpu(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void sha256_hex(EVP_MD_CTX *context, const char *bytes, size_t length, char *out) {
    static const char digits[] = "0123456789abcdef";
    unsigned char digest[32];
    EVP_DigestInit_ex2(context, NULL, NULL);
    EVP_DigestUpdate(context, bytes, length);
    EVP_DigestFinal_ex(context, digest, NULL);
    for (int i = 0; i < 32; i++) {
        *out++ = digits[digest[i] >> 4];
        *out++ = digits[digest[i] & 15];
    }
}

static double measure_sha256(void) {
    char text[17] = "0123456789abcdef", out[64];
    EVP_MD *sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    EVP_DigestInit_ex2(context, sha256, NULL);
    const double began = cpu();
    double count = 0;
    do {
        for (int i = 0; i < STEPS; i++) {
            memcpy(text, &i, sizeof(i));
            sha256_hex(context, text, 16, out);
        }
        count += STEPS;
    } while (cpu() - began < 1);
    return count / (cpu() - began) / 1e6;
}

static double measure_base64(int decodes) {
    unsigned char *bytes = calloc(1, MIB + 4), *text = malloc(TEXT + 1);
    for (int i = 0; i < MIB; i++) bytes[i] = (unsigned char)((unsigned)i * 2654435761u >> 13);
    const int length = EVP_EncodeBlock(text, bytes, MIB);
    const double began = cpu();
    double count = 0;
    do {
        if (decodes) {
            EVP_DecodeBlock(bytes, text, length);
        } else {
            EVP_EncodeBlock(text, bytes, MIB);
        }
        count += MIB;
    } while (cpu() - began < 1);
    return count / (cpu() - began) / 1e9;
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    const double result = strcmp(what, "sha256") == 0 ? measure_sha256() : measure_base64(strcmp(what, "decode") == 0);
    printf("RESULT %.3f\n", result);
    return 0;
}
