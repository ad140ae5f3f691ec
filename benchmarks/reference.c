/* The physical limit that the agent's budgets are ratios of: a single-threaded walk in C.
 *
 *   reference stat DIR   walks DIR and stats every name
 *   reference head DIR   does that, reads the first 64 KiB of every regular file and searches them
 *                        for "-----BEGIN "
 *
 * Like the agent it goes by directory descriptors, follows no link, and stays out of file systems
 * that the kernel makes up or that are on a network. It prints what it counted. Benchmark only.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define HEAD (64 * 1024)

static const char NEEDLE[] = "-----BEGIN ";
static char head[HEAD];
static int read_heads;
static unsigned long directories, files, others, bytes, hits, refused;

/* statfs(2): proc, sysfs, devpts, cgroup, cgroup2, debugfs, tracefs, bpf, securityfs, pstore, mqueue,
 * hugetlbfs, configfs, fusectl, binfmt_misc, efivarfs, nsfs, selinuxfs; autofs, nfs, cifs, smb2, fuse,
 * ceph, afs, 9p. devtmpfs has tmpfs's number and is known by where it is. */
static const unsigned long foreign[] = {
    0x9fa0,     0x62656572, 0x1cd1,     0x27e0eb,   0x63677270, 0x64626720, 0x74726163,
    0xcafe4a11, 0x73636673, 0x6165676c, 0x19800202, 0x958458f6, 0x62656570, 0x65735543,
    0x42494e4d, 0xde5e81e4, 0x6e736673, 0xf97cff8c, 0x0187,     0x6969,     0xff534d42,
    0xfe534d42, 0x65735546, 0x00c36400, 0x5346414f, 0x01021997,
};

static int is_foreign(int fd)
{
    struct statfs fs;

    if (fstatfs(fd, &fs) != 0)
        return 1;
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
        if ((unsigned long)fs.f_type == foreign[i])
            return 1;
    return 0;
}

static void look_into(int directory, const char *name)
{
    int fd = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    ssize_t got;

    if (fd < 0) {
        refused++;
        return;
    }
    got = read(fd, head, HEAD);
    if (got > 0) {
        bytes += (unsigned long)got;
        if (memmem(head, (size_t)got, NEEDLE, sizeof NEEDLE - 1) != NULL)
            hits++;
    }
    close(fd);
}

static void walk(int fd, dev_t device, dev_t devtmpfs)
{
    DIR *directory = fdopendir(fd);
    struct dirent *entry;

    if (directory == NULL) {
        close(fd);
        refused++;
        return;
    }
    directories++;
    while ((entry = readdir(directory)) != NULL) {
        const char *name = entry->d_name;
        struct stat st;

        if (name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0')))
            continue;
        if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
            refused++;
            continue;
        }
        if (S_ISREG(st.st_mode)) {
            files++;
            if (read_heads && st.st_size > 0)
                look_into(fd, name);
        } else if (S_ISDIR(st.st_mode)) {
            int child;

            if (st.st_dev != device && st.st_dev == devtmpfs)
                continue;
            child = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
            if (child < 0)
                refused++;
            else if (st.st_dev != device && is_foreign(child))
                close(child);
            else
                walk(child, st.st_dev, devtmpfs);
        } else {
            others++;
        }
    }
    closedir(directory);
}

int main(int argc, char **argv)
{
    struct stat st, dev;
    int fd;

    if (argc != 3 || (strcmp(argv[1], "stat") != 0 && strcmp(argv[1], "head") != 0)) {
        fputs("usage: reference stat|head DIR\n", stderr);
        return 2;
    }
    read_heads = strcmp(argv[1], "head") == 0;
    fd = open(argv[2], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0) {
        perror(argv[2]);
        return 2;
    }
    if (stat("/dev", &dev) != 0)
        dev.st_dev = 0;
    walk(fd, st.st_dev, dev.st_dev);
    printf("directories %lu files %lu others %lu bytes %lu hits %lu refused %lu\n", directories,
           files, others, bytes, hits, refused);
    return 0;
}
