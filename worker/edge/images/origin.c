/* origin.c - see origin.h. */
#include "origin.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum { REDIRECTS_MAX = 5, TOO_MANY_REQUESTS = 429, REQUEST_TIMEOUT = 408, RANGE_NOT_SATISFIABLE = 416 };

void mf_origin_show(const char *url, char text[MF_ORIGIN_TEXT])
{
    static const CURLUPart secrets[] = {CURLUPART_USER, CURLUPART_PASSWORD, CURLUPART_OPTIONS,
                                        CURLUPART_QUERY, CURLUPART_FRAGMENT};
    CURLU *parts = curl_url();
    char *shown = NULL;
    if (parts && curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK) {
        for (size_t i = 0; i < sizeof secrets / sizeof *secrets; i++)
            curl_url_set(parts, secrets[i], NULL, 0);
        curl_url_get(parts, CURLUPART_URL, &shown, 0);
    }
    mf_str_format(text, MF_ORIGIN_TEXT, "%s", shown ? shown : "a URL that can't be read");
    curl_free(shown);
    curl_url_cleanup(parts);
}

/* A pipe or a device would hold up every other fetch, or never end. */
static int check_file(const char *url, char error[256])
{
    CURLU *parts = curl_url();
    char *path = NULL;
    struct stat st;
    int r = -EINVAL;
    if (!parts || curl_url_set(parts, CURLUPART_URL, url, 0) != CURLUE_OK ||
        curl_url_get(parts, CURLUPART_PATH, &path, CURLU_URLDECODE) != CURLUE_OK)
        snprintf(error, 256, "it is not a URL");
    else if (stat(path, &st) < 0)
        snprintf(error, 256, "%s; put the file there, on this node", strerror(errno));
    else if (!S_ISREG(st.st_mode))
        snprintf(error, 256, "it is not a plain file");
    else
        r = 0;
    curl_free(path);
    curl_url_cleanup(parts);
    return r;
}

int mf_origin_prepare(CURL *easy, const char *url, const struct mf_origin_limits *limits, char error[256])
{
    if (strncasecmp(url, "file:", 5) == 0 && check_file(url, error) < 0)
        return -EINVAL;
    CURLcode code = CURLE_OK;
#define SET(option, value) code = code == CURLE_OK ? curl_easy_setopt(easy, option, value) : code
    SET(CURLOPT_URL, url);
    SET(CURLOPT_PROTOCOLS_STR, "http,https,file");
    SET(CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_FOLLOWLOCATION, 1L);
    SET(CURLOPT_MAXREDIRS, (long)REDIRECTS_MAX);
    SET(CURLOPT_FAILONERROR, 1L);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_CONNECTTIMEOUT_MS, limits->connect_ms);
    SET(CURLOPT_LOW_SPEED_LIMIT, 1L);
    SET(CURLOPT_LOW_SPEED_TIME, limits->stall_s);
    SET(CURLOPT_USERAGENT, "mayfly/" MAYFLY_VERSION);
    SET(CURLOPT_BUFFERSIZE, 256L << 10);
    if (limits->ca_file)
        SET(CURLOPT_CAINFO, limits->ca_file);
#undef SET
    if (code == CURLE_OK)
        return 0;
    snprintf(error, 256, "%s", curl_easy_strerror(code));
    return -EINVAL;
}

static enum mf_origin_verdict judge_status(long status, char why[256])
{
    if (status == RANGE_NOT_SATISFIABLE) {
        snprintf(why, 256, "the origin has less of it than was fetched already");
        return MF_ORIGIN_AFRESH;
    }
    bool again = status >= 500 || status == TOO_MANY_REQUESTS || status == REQUEST_TIMEOUT;
    snprintf(why, 256, "the origin answers HTTP %ld%s", status,
             status == 404 || status == 410   ? ": it is not there; is the URL right?"
             : status == 401 || status == 403 ? ": it may not be read"
                                              : "");
    return again ? MF_ORIGIN_AGAIN : MF_ORIGIN_NEVER;
}

enum mf_origin_verdict mf_origin_judge(CURL *easy, CURLcode code, const char *said, char why[256])
{
    long status = 0;
    snprintf(why, 256, "%.240s", said && *said ? said : curl_easy_strerror(code));
    switch (code) {
    case CURLE_OK:
        return MF_ORIGIN_DONE;
    case CURLE_HTTP_RETURNED_ERROR:
        curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
        return judge_status(status, why);
    case CURLE_RANGE_ERROR:
    case CURLE_BAD_DOWNLOAD_RESUME:
        snprintf(why, 256, "the origin does not go on from where a transfer broke off");
        return MF_ORIGIN_AFRESH;
    case CURLE_OPERATION_TIMEDOUT:
        return MF_ORIGIN_STALLED;
    case CURLE_TOO_MANY_REDIRECTS:
        snprintf(why, 256, "the origin redirects more than %d times; give the URL where it ends",
                 REDIRECTS_MAX);
        return MF_ORIGIN_NEVER;
    case CURLE_PEER_FAILED_VERIFICATION:
        snprintf(why, 256, "%.160s; an authority of one's own is given with image-ca",
                 said && *said ? said : curl_easy_strerror(code));
        return MF_ORIGIN_NEVER;
    case CURLE_UNSUPPORTED_PROTOCOL:
        snprintf(why, 256, "it is, or redirects to, something that is not http or https");
        return MF_ORIGIN_NEVER;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
    case CURLE_PARTIAL_FILE:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
        return MF_ORIGIN_AGAIN;
    default:
        return MF_ORIGIN_NEVER;
    }
}
