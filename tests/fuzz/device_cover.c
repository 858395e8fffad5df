// SPDX-License-Identifier: MIT
/*
 * Coverage: KCOV's traces of the module's text. The places that there are to
 * reach are the calls of __sanitizer_cov_trace_pc() in the module's file.
 */
#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "device.h"

#define KCOV_INIT_TRACE	_IOR('c', 1, unsigned long)
#define KCOV_ENABLE	_IO('c', 100)
#define KCOV_DISABLE	_IO('c', 101)
#define KCOV_TRACE_PC	0

/* A relocation stands at the call's operand; KCOV sees where the call returns. */
#define CALL_OPERAND	4

static void count_sites(struct fz_cover *cover, const char *file)
{
	const Elf64_Ehdr *ehdr = (const void *)file;
	const Elf64_Shdr *shdr = (const void *)(file + ehdr->e_shoff);
	const char *names = file + shdr[ehdr->e_shstrndx].sh_offset;

	for (int i = 0; i < ehdr->e_shnum; i++) {
		const Elf64_Rela *rela = (const void *)(file + shdr[i].sh_offset);
		const Elf64_Shdr *symtab = &shdr[shdr[i].sh_link];
		const Elf64_Sym *sym = (const void *)(file + symtab->sh_offset);
		const char *strtab = file + shdr[symtab->sh_link].sh_offset;

		if (shdr[i].sh_type != SHT_RELA ||
		    strcmp(names + shdr[i].sh_name, ".rela.text"))
			continue;
		for (size_t j = 0; j < shdr[i].sh_size / sizeof(*rela); j++) {
			uint64_t offset = rela[j].r_offset + CALL_OPERAND;

			if (offset < cover->text_size &&
			    !strcmp(strtab + sym[ELF64_R_SYM(rela[j].r_info)].st_name,
				    "__sanitizer_cov_trace_pc")) {
				cover->nr_sites += !cover->site[offset];
				cover->site[offset] = 1;
			}
		}
	}
}

static bool read_module(struct fz_cover *cover, const char *ko)
{
	FILE *section = fopen("/sys/module/symphony/sections/.text", "re");
	const Elf64_Shdr *shdr;
	const Elf64_Ehdr *ehdr;
	struct stat st;
	char *file;
	int fd;

	if (!section || fscanf(section, "%lx", &cover->text) != 1)
		return false;
	fclose(section);
	fd = open(ko, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st))
		return false;
	file = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	if (file == MAP_FAILED)
		return false;
	ehdr = (const void *)file;
	shdr = (const void *)(file + ehdr->e_shoff);
	for (int i = 0; i < ehdr->e_shnum; i++)
		if (!strcmp(file + shdr[ehdr->e_shstrndx].sh_offset + shdr[i].sh_name,
			    ".text"))
			cover->text_size = shdr[i].sh_size;
	cover->site = calloc(1, cover->text_size);
	cover->seen = calloc(1, cover->text_size);
	if (!cover->site || !cover->seen)
		abort();
	count_sites(cover, file);
	munmap(file, st.st_size);
	return cover->nr_sites;
}

bool fz_cover_open(struct fz_cover *cover, const char *ko)
{
	memset(cover, 0, sizeof(*cover));
	for (int i = 0; i < FZ_KCOV; i++)
		cover->fd[i] = -1;
	if (!ko || !read_module(cover, ko))
		return false;
	for (int i = 0; i < FZ_KCOV; i++) {
		int fd = open("/sys/kernel/debug/kcov", O_RDWR | O_CLOEXEC);

		if (fd < 0 || ioctl(fd, KCOV_INIT_TRACE, FZ_KCOV_WORDS))
			return false;
		cover->trace[i] = mmap(NULL, FZ_KCOV_WORDS * sizeof(uint64_t),
				       PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (cover->trace[i] == MAP_FAILED)
			return false;
		cover->fd[i] = fd;
	}
	return true;
}

/* Two children at once are too many: the second runs unseen. */
void fz_cover_enable(const struct fz_cover *cover, unsigned int who)
{
	if (cover->fd[who] >= 0)
		ioctl(cover->fd[who], KCOV_ENABLE, KCOV_TRACE_PC);
}

void fz_cover_disable(const struct fz_cover *cover, unsigned int who)
{
	if (cover->fd[who] >= 0)
		ioctl(cover->fd[who], KCOV_DISABLE, 0);
}

void fz_cover_reset(struct fz_cover *cover)
{
	for (int i = 0; i < FZ_KCOV; i++)
		if (cover->fd[i] >= 0)
			__atomic_store_n(&cover->trace[i][0], 0, __ATOMIC_RELAXED);
}

static uint64_t trace_len(const struct fz_cover *cover, unsigned int i)
{
	uint64_t n = 0;

	if (cover->fd[i] >= 0)
		n = __atomic_load_n(&cover->trace[i][0], __ATOMIC_RELAXED);
	return n < FZ_KCOV_WORDS ? n : FZ_KCOV_WORDS - 1;
}

unsigned int fz_cover_take(struct fz_cover *cover, unsigned int *edges,
			   uint32_t *places, unsigned int max)
{
	unsigned int fresh = 0;

	*edges = 0;
	for (int i = 0; i < FZ_KCOV; i++) {
		uint64_t n = trace_len(cover, i), before = 0;

		for (uint64_t j = 1; j <= n; j++) {
			uint64_t at = cover->trace[i][j] - cover->text;
			uint32_t edge;

			if (at >= cover->text_size || !cover->site[at])
				continue;
			edge = (before * 0x9e3779b1u ^ at * 0x85ebca6bu) >> 8;
			edge %= FZ_EDGES;
			before = at;
			*edges += !cover->edge[edge];
			cover->edge[edge] = 1;
			if (cover->seen[at])
				continue;
			cover->seen[at] = 1;
			if (fresh < max)
				places[fresh] = at;
			fresh++;
		}
	}
	cover->nr_seen += fresh;
	cover->nr_edges += *edges;
	return fresh;
}

bool fz_cover_reached(const struct fz_cover *cover, const uint32_t *places,
		      unsigned int nr)
{
	unsigned int found = 0;

	for (unsigned int k = 0; k < nr; k++)
		for (int i = 0; i < FZ_KCOV && found == k; i++)
			for (uint64_t j = 1, n = trace_len(cover, i); j <= n; j++)
				if (cover->trace[i][j] - cover->text == places[k]) {
					found++;
					break;
				}
	return found == nr;
}

/* Each place of the text: its offset, and whether it was reached. */
void fz_cover_write(const struct fz_cover *cover, const char *path)
{
	FILE *file = fopen(path, "we");

	if (!file)
		return;
	for (unsigned long i = 0; i < cover->text_size; i++)
		if (cover->site[i])
			fprintf(file, "%#lx %d\n", i, cover->seen[i]);
	fclose(file);
}
