/* A disk that fails when told to, and tells everything that is done to it.
 *
 *   cc -shared -fPIC -O2 -o faults.so faults.c -ldl -lpthread
 *   FAULTS_ROOT=DIR FAULTS_LOG=FILE [FAULTS_AT=K FAULTS_KIND=eio|enospc|short [FAULTS_STICKY=1]] LD_PRELOAD=faults.so ...
 *
 * Stands between a program and the calls of libc that change what lies below DIR, SQLite's included. They are
 * counted from 1 and written to FILE in the order in which they took place. The K-th fails: with EIO, with ENOSPC, or
 * by writing only the first half (short). Sticky: everything after it fails too; of a full disk (enospc, and short)
 * only what takes room. A failed sync has lost what was not synced, as with Linux, and says so once only.
 *
 * A record is one line, fields parted by tabs, the bytes of a write behind it:
 *
 *   create DIRECTORY NAME INODE MODE    mkdir DIRECTORY NAME INODE MODE      link DIRECTORY NAME INODE
 *   unlink DIRECTORY NAME               rmdir DIRECTORY NAME                 rename DIRECTORY NAME DIRECTORY NAME
 *   write INODE OFFSET LENGTH           truncate INODE SIZE                  sync INODE
 *   lost INODE (a sync that failed)     map INODE (written behind our back)  say (standard output)
 *   fault OPERATION PATH (this one failed, and changed nothing)
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static char root[PATH_MAX];
static int record = -1;
static long at, count;
static int sticky, fault;
static enum { EIO_KIND, ENOSPC_KIND, SHORT_KIND } kind;

#define REAL(result, name, ...) static result (*real_##name)(__VA_ARGS__)
REAL(int, openat64, int, const char *, int, ...);
REAL(ssize_t, write, int, const void *, size_t);
REAL(ssize_t, pwrite64, int, const void *, size_t, off_t);
REAL(int, ftruncate64, int, off_t);
REAL(int, fallocate64, int, int, off_t, off_t);
REAL(int, fsync, int);
REAL(int, fdatasync, int);
REAL(int, renameat2, int, const char *, int, const char *, unsigned);
REAL(int, linkat, int, const char *, int, const char *, int);
REAL(int, unlinkat, int, const char *, int);
REAL(int, mkdirat, int, const char *, mode_t);
REAL(void *, mmap64, void *, size_t, int, int, int, off_t);

__attribute__((constructor)) static void begin(void) {
#define FIND(name) real_##name = (__typeof__(real_##name))dlsym(RTLD_NEXT, #name)
  FIND(openat64), FIND(write), FIND(pwrite64), FIND(ftruncate64), FIND(fallocate64), FIND(fsync), FIND(fdatasync);
  FIND(renameat2), FIND(linkat), FIND(unlinkat), FIND(mkdirat), FIND(mmap64);
  const char *folder = getenv("FAULTS_ROOT"), *file = getenv("FAULTS_LOG"), *what = getenv("FAULTS_KIND");
  if (!folder || !file || !realpath(folder, root)) return;
  record = real_openat64(AT_FDCWD, file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  at = getenv("FAULTS_AT") ? atol(getenv("FAULTS_AT")) : 0;
  sticky = getenv("FAULTS_STICKY") != NULL;
  kind = !what || !strcmp(what, "eio") ? EIO_KIND : !strcmp(what, "enospc") ? ENOSPC_KIND : SHORT_KIND;
}

/* --- where ------------------------------------------------------------------------------------------- */

static int below(const char *path) {
  size_t length = strlen(root);
  return record >= 0 && !strncmp(path, root, length) && (path[length] == '/' || !path[length]);
}

static int path_of(int fd, char *path) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, PATH_MAX - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return 1;
}

/* Whether fd is a file or folder that is watched, and its inode. */
static int watched(int fd, struct stat *found) {
  char path[PATH_MAX];
  return record >= 0 && path_of(fd, path) && below(path) && !fstat(fd, found) &&
         (S_ISREG(found->st_mode) || S_ISDIR(found->st_mode));
}

/* An entry of a folder: the folder's inode and real path, the name in it. Looked up and used in one turn: otherwise
 * another thread may make the folder in between, and what is done in it would not be seen. */
struct entry {
  unsigned long folder;
  char path[2 * PATH_MAX];
  const char *name;
};

static int entry(int dirfd, const char *path, struct entry *found) {
  char whole[PATH_MAX], parent[PATH_MAX];
  struct stat folder;
  if (record < 0 || !path) return 0;
  if (path[0] == '/') {
    snprintf(whole, sizeof whole, "%s", path);
  } else {
    if (dirfd == AT_FDCWD ? !getcwd(parent, sizeof parent) : !path_of(dirfd, parent)) return 0;
    if (snprintf(whole, sizeof whole, "%s/%s", parent, path) >= (int)sizeof whole) return 0;
  }
  for (size_t end = strlen(whole); end > 1 && whole[end - 1] == '/'; end--) whole[end - 1] = 0;
  char *slash = strrchr(whole, '/');
  if (!slash) return 0;
  *slash = 0;
  if (!realpath(whole[0] ? whole : "/", parent) || !below(parent) || stat(parent, &folder)) return 0;
  found->folder = folder.st_ino;
  int length = snprintf(found->path, sizeof found->path, "%s/", parent);
  snprintf(found->path + length, sizeof found->path - length, "%s", slash + 1);
  found->name = found->path + length;
  return 1;
}

/* --- the record and the faults ----------------------------------------------------------------------- */

__attribute__((format(printf, 3, 4))) static void tell(const void *bytes, size_t length, const char *form, ...) {
  char line[3 * PATH_MAX];
  va_list arguments;
  va_start(arguments, form);
  int size = vsnprintf(line, sizeof line, form, arguments);
  va_end(arguments);
  struct iovec parts[2] = {{line, size}, {(void *)bytes, length}};
  int kept = errno;
  while (parts[0].iov_len + parts[1].iov_len > 0) {
    ssize_t done = syscall(SYS_writev, record, parts, 2);
    if (done < 0) abort();
    for (int part = 0; part < 2; part++) {
      size_t take = (size_t)done < parts[part].iov_len ? (size_t)done : parts[part].iov_len;
      parts[part].iov_base = (char *)parts[part].iov_base + take;
      parts[part].iov_len -= take;
      done -= take;
    }
  }
  errno = kept;
}

/* Counts an operation; whether it must fail. What takes no room works on a full disk. */
static int fails(const char *operation, const char *path, int takes_room) {
  count++;
  fault = at && (count == at || (sticky && count > at));
  if (fault && kind == SHORT_KIND && count == at) return 0; /* the caller writes a part */
  if (fault && kind != EIO_KIND && !takes_room && count != at) fault = 0;
  if (!fault) return 0;
  tell(NULL, 0, "fault\t%s\t%s\n", operation, path);
  errno = kind == EIO_KIND ? EIO : ENOSPC;
  return 1;
}

static size_t shortened(size_t length, const char *path) {
  if (!fault || kind != SHORT_KIND || length < 2) return length;
  tell(NULL, 0, "fault\tshort\t%s\n", path);
  return length / 2;
}

#define LOCK pthread_mutex_lock(&turn)
#define UNLOCK pthread_mutex_unlock(&turn)

/* --- files ------------------------------------------------------------------------------------------- */

static int opened(int dirfd, const char *path, int flags, mode_t mode) {
  struct entry where;
  struct stat found;
  if (!(flags & (O_CREAT | O_TRUNC)) || (flags & O_TMPFILE) == O_TMPFILE)
    return real_openat64(dirfd, path, flags, mode);
  LOCK;
  if (!entry(dirfd, path, &where)) {
    int fd = real_openat64(dirfd, path, flags, mode);
    UNLOCK;
    return fd;
  }
  int is_new = lstat(where.path, &found) != 0, fd = -1;
  int changes = is_new ? flags & O_CREAT : flags & O_TRUNC && !(flags & O_EXCL);
  if (!changes || !fails(is_new ? "create" : "truncate", where.path, is_new)) {
    fd = real_openat64(dirfd, path, flags, mode);
    if (fd >= 0 && changes && !fstat(fd, &found)) {
      if (is_new) tell(NULL, 0, "create\t%lu\t%s\t%lu\t%o\n", where.folder, where.name, found.st_ino, found.st_mode & 07777);
      else tell(NULL, 0, "truncate\t%lu\t0\n", found.st_ino);
    }
  }
  UNLOCK;
  return fd;
}

#define MODE_OF(flags) \
  mode_t mode = 0; \
  if (flags & (O_CREAT | O_TMPFILE)) { va_list rest; va_start(rest, flags); mode = va_arg(rest, mode_t); va_end(rest); }

int open(const char *path, int flags, ...) { MODE_OF(flags) return opened(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE_OF(flags) return opened(AT_FDCWD, path, flags, mode); }
int openat(int dirfd, const char *path, int flags, ...) { MODE_OF(flags) return opened(dirfd, path, flags, mode); }
int openat64(int dirfd, const char *path, int flags, ...) { MODE_OF(flags) return opened(dirfd, path, flags, mode); }
int creat(const char *path, mode_t mode) { return opened(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *path, mode_t mode) { return opened(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }

/* offset < 0: where the file stands */
static ssize_t written(int fd, const void *bytes, size_t length, off_t offset) {
  struct stat file;
  if (!watched(fd, &file)) {
    if (record >= 0 && fd == STDOUT_FILENO) {
      LOCK;
      tell(NULL, 0, "say\n");
      UNLOCK;
    }
    return offset < 0 ? real_write(fd, bytes, length) : real_pwrite64(fd, bytes, length, offset);
  }
  char path[PATH_MAX];
  path_of(fd, path);
  ssize_t done = -1;
  LOCK;
  if (!fails("write", path, 1)) {
    length = shortened(length, path);
    off_t place = offset;
    if (offset < 0) place = fcntl(fd, F_GETFL) & O_APPEND ? file.st_size : lseek(fd, 0, SEEK_CUR);
    done = offset < 0 ? real_write(fd, bytes, length) : real_pwrite64(fd, bytes, length, offset);
    if (done >= 0) tell(bytes, done, "write\t%lu\t%lld\t%zd\n", file.st_ino, (long long)place, done);
  }
  UNLOCK;
  return done;
}

ssize_t write(int fd, const void *bytes, size_t length) { return written(fd, bytes, length, -1); }
ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) { return written(fd, bytes, length, offset); }
ssize_t pwrite64(int fd, const void *bytes, size_t length, off_t offset) { return written(fd, bytes, length, offset); }

/* A call may write less than asked for, so the first part that has bytes will do. */
ssize_t writev(int fd, const struct iovec *parts, int parts_count) {
  for (int part = 0; part < parts_count; part++)
    if (parts[part].iov_len) return written(fd, parts[part].iov_base, parts[part].iov_len, -1);
  return 0;
}

/* Other ways to write; callers know what to do without them. */
ssize_t copy_file_range(int in, off_t *in_at, int out, off_t *out_at, size_t length, unsigned flags) {
  struct stat file;
  if (!watched(out, &file)) return syscall(SYS_copy_file_range, in, in_at, out, out_at, length, flags);
  errno = ENOSYS;
  return -1;
}
ssize_t sendfile(int out, int in, off_t *offset, size_t length) {
  struct stat file;
  if (!watched(out, &file)) return syscall(SYS_sendfile, out, in, offset, length);
  errno = EINVAL;
  return -1;
}
ssize_t sendfile64(int out, int in, off_t *offset, size_t length) { return sendfile(out, in, offset, length); }
ssize_t splice(int in, off_t *in_at, int out, off_t *out_at, size_t length, unsigned flags) {
  struct stat file;
  if (!watched(out, &file)) return syscall(SYS_splice, in, in_at, out, out_at, length, flags);
  errno = EINVAL;
  return -1;
}
int fallocate64(int fd, int mode, off_t offset, off_t length) {
  struct stat file;
  if (!watched(fd, &file)) return real_fallocate64(fd, mode, offset, length);
  errno = EOPNOTSUPP;
  return -1;
}
int fallocate(int fd, int mode, off_t offset, off_t length) { return fallocate64(fd, mode, offset, length); }

int ftruncate64(int fd, off_t size) {
  struct stat file;
  if (!watched(fd, &file)) return real_ftruncate64(fd, size);
  int done = -1;
  LOCK;
  if (!fails("truncate", "", size > file.st_size)) {
    done = real_ftruncate64(fd, size);
    if (!done) tell(NULL, 0, "truncate\t%lu\t%lld\n", file.st_ino, (long long)size);
  }
  UNLOCK;
  return done;
}
int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

static int synced(int fd, int (*sync)(int)) {
  struct stat file;
  if (!watched(fd, &file)) return sync(fd);
  char path[PATH_MAX];
  path_of(fd, path);
  int done = -1;
  LOCK;
  if (fails("sync", path, 0)) {
    tell(NULL, 0, "lost\t%lu\n", file.st_ino);
  } else {
    done = sync(fd);
    if (!done) tell(NULL, 0, "sync\t%lu\n", file.st_ino);
  }
  UNLOCK;
  return done;
}
int fsync(int fd) { return synced(fd, real_fsync); }
int fdatasync(int fd) { return synced(fd, real_fdatasync); }

/* Writes through a map are not seen: only told, so that the reader can refuse them where they count. */
void *mmap64(void *address, size_t length, int protection, int flags, int fd, off_t offset) {
  struct stat file;
  if (fd >= 0 && protection & PROT_WRITE && flags & MAP_SHARED && watched(fd, &file)) {
    LOCK;
    tell(NULL, 0, "map\t%lu\n", file.st_ino);
    UNLOCK;
  }
  return real_mmap64(address, length, protection, flags, fd, offset);
}
void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset) {
  return mmap64(address, length, protection, flags, fd, offset);
}

/* --- names ------------------------------------------------------------------------------------------- */

int renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags) {
  struct entry a, b;
  int done = -1;
  LOCK;
  int from_inside = entry(from_fd, from, &a), to_inside = entry(to_fd, to, &b);
  /* Across the border of the folder the record would make no sense. */
  if (from_inside != to_inside) abort();
  if (!from_inside) {
    done = real_renameat2(from_fd, from, to_fd, to, flags);
  } else if (!fails("rename", b.path, 1)) {
    done = real_renameat2(from_fd, from, to_fd, to, flags);
    if (!done) tell(NULL, 0, "rename\t%lu\t%s\t%lu\t%s\n", a.folder, a.name, b.folder, b.name);
  }
  UNLOCK;
  return done;
}
int renameat(int from_fd, const char *from, int to_fd, const char *to) { return renameat2(from_fd, from, to_fd, to, 0); }
int rename(const char *from, const char *to) { return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0); }

int linkat(int from_fd, const char *from, int to_fd, const char *to, int flags) {
  struct entry where;
  struct stat found;
  int done = -1;
  LOCK;
  if (!entry(to_fd, to, &where)) {
    done = real_linkat(from_fd, from, to_fd, to, flags);
  } else if (!fails("link", where.path, 1)) {
    done = real_linkat(from_fd, from, to_fd, to, flags);
    if (!done && !lstat(where.path, &found))
      tell(NULL, 0, "link\t%lu\t%s\t%lu\n", where.folder, where.name, found.st_ino);
  }
  UNLOCK;
  return done;
}
int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }

int unlinkat(int dirfd, const char *path, int flags) {
  struct entry where;
  struct stat found;
  const char *operation = flags & AT_REMOVEDIR ? "rmdir" : "unlink";
  int done = -1;
  LOCK;
  /* What is not there is no operation. */
  if (!entry(dirfd, path, &where) || lstat(where.path, &found)) {
    done = real_unlinkat(dirfd, path, flags);
  } else if (!fails(operation, where.path, 0)) {
    done = real_unlinkat(dirfd, path, flags);
    if (!done) tell(NULL, 0, "%s\t%lu\t%s\n", operation, where.folder, where.name);
  }
  UNLOCK;
  return done;
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }
int remove(const char *path) {
  struct stat found;
  return !lstat(path, &found) && S_ISDIR(found.st_mode) ? rmdir(path) : unlink(path);
}

int mkdirat(int dirfd, const char *path, mode_t mode) {
  struct entry where;
  struct stat found;
  int done = -1;
  LOCK;
  if (!entry(dirfd, path, &where) || !lstat(where.path, &found)) {
    done = real_mkdirat(dirfd, path, mode);
  } else if (!fails("mkdir", where.path, 1)) {
    done = real_mkdirat(dirfd, path, mode);
    if (!done && !lstat(where.path, &found))
      tell(NULL, 0, "mkdir\t%lu\t%s\t%lu\t%o\n", where.folder, where.name, found.st_ino, found.st_mode & 07777);
  }
  UNLOCK;
  return done;
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }
